"""The learned policy: a `recrl.scoring.model.BertForChoiceScoring` checkpoint that picks actions.

On a CPU a decision's log-probabilities do not depend, not even in the last bit, on which other decisions are scored
with it. Encodings of action texts are kept, because titles and buttons come back on page after page.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recrl.episodes.decisions import Decision
from recrl.episodes.training_goals import TrainedOn, from_config
from recrl.errors import PolicyError
from recrl.policies.base import Choice, sample, tempered
from recrl.scoring.batches import Choices, EncodedTexts, SeenProducts
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator, product_tensors
from recrl.scoring.encoding_store import tensors_sha256
from recrl.scoring.inputs import ChoiceInput
from recrl.scoring.model import BertForChoiceScoring


class ScorerPolicy:
    """Samples from, or takes the best of, the scorer's distribution over the valid actions.

    Args:
        model, tokenizer: a scorer and its tokenizer, as `recrl.scoring.checkpoints.load_scorer` returns them.
        name: what reports and datasets call the policy.
        temperature: of sampling; the log-probabilities that are returned are those of the tempered distribution.
        loop_guard: an action that was already taken in this episode at an equal observation, with equal notes where the
            scorer reads them, gets no probability, unless every action was. Since the environment is deterministic,
            taking it again can only repeat a loop.
        keep_on_disk: whether a reading scorer's encodings are read from the disk and written there
            (`recrl.scoring.encoding_store`).
    """

    def __init__(
        self,
        model: BertForChoiceScoring,
        tokenizer: Any,
        *,
        name: str = "scorer",
        temperature: float = 1.0,
        loop_guard: bool = False,
        keep_on_disk: bool = False,
    ) -> None:
        if not temperature > 0:
            raise PolicyError(f"temperature={temperature}, expected a positive number; for the best action use greedy")
        self.model, self.name, self.temperature, self.loop_guard = model.eval(), name, temperature, loop_guard
        self.collator = ChoiceCollator(tokenizer, model.config)
        self._kept = model.kept_encodings or model.new_encodings(keep_on_disk=keep_on_disk)

    @classmethod
    def from_pretrained(cls, source: str | Path, *, device: str | None = None, **settings: Any) -> "ScorerPolicy":
        """Loads a checkpoint folder or Hub id onto a device (None: the GPU if there is one), to play with: its encoder
        stays as it is, so encodings are kept on the disk.

        Raises:
            CheckpointError: see `recrl.scoring.checkpoints.load_scorer`.
        """
        model, tokenizer = load_scorer(source)
        model.to(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))  # type: ignore[arg-type]
        settings.setdefault("keep_on_disk", True)
        settings.setdefault("name", Path(source).name if Path(source).exists() else str(source))
        return cls(model, tokenizer, **settings)

    @property
    def catalog_sha256(self) -> str | None:
        """The catalogue that the checkpoint was trained on."""
        return self.model.config.catalog_sha256

    @property
    def trained_on(self) -> TrainedOn:
        """The goals that the checkpoint was trained on."""
        return from_config(self.model.config.trained_on)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of all weights that choose actions, in hexadecimal; the value head chooses none."""
        tensors = sorted(self.model.state_dict().items())
        return tensors_sha256((name, tensor) for name, tensor in tensors if not name.startswith("value_head."))

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        """Picks an action for each decision; `rngs[i]` is used for decision i only."""
        choices = []
        for decision, (log_probs, value), rng in zip(decisions, self.outputs(decisions), rngs, strict=True):
            taken = decision.memory.get(self._seen(decision), ()) if self.loop_guard else ()
            log_probs = tempered(log_probs.astype(np.float64), self.temperature, without=taken)
            index = int(log_probs.argmax()) if greedy else sample(log_probs, rng)
            if self.loop_guard:
                decision.memory.setdefault(self._seen(decision), set()).add(index)
            choices.append(
                Choice(
                    index,
                    min(0.0, float(log_probs[index])),
                    probabilities=tuple(np.exp(log_probs).tolist()),
                    value=value if self.model.config.values_learned else None,
                )
            )
        return choices

    def _seen(self, decision: Decision) -> Hashable:
        """What the loop guard knows a page by: what it shows and, for a scorer that reads them, what the notes know."""
        if self.model.match_head is None:
            return decision.observation
        return decision.observation, decision.notes.known

    def log_probs(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
        """The model's own log-probabilities: for each decision (actions,) float32, untempered."""
        return [log_probs for log_probs, _ in self.outputs(decisions)]

    def outputs(self, decisions: Sequence[Decision]) -> list[tuple[np.ndarray, float]]:
        """For each decision the model's own log-probabilities, (actions,) float32, and its value of the page."""
        inputs = [self.collator.read(decision) for decision in decisions]
        with torch.inference_mode():
            if self.model.config.pad_attention == "original":  # an encoding depends on the page: none can be kept
                return [self._score_page(decision) for decision in decisions]
            texts = {text: self.collator.action_tokens(text) for choice in inputs for text in choice.actions}
            hidden = dict(zip(texts, self._kept.actions(list(texts.values())), strict=True))
            # A state that is the instruction alone comes back on every page of an episode.
            again = self.model.config.state_form == "instruction"
            encode = self._kept.states if again or self.model.kept_encodings else self.model.encode_texts
            states = encode([self.collator.state_tokens(choice.instruction, choice.state) for choice in inputs])
            return [self._score(choice, state, hidden) for choice, state in zip(inputs, states, strict=True)]

    def _score_page(self, decision: Decision) -> tuple[np.ndarray, float]:
        output = self.model(**self.collator([decision]).to(self.model.device).tensors())
        return output.log_probs[0].cpu().numpy(), output.state_values[0].item()

    def forget(self) -> None:
        """Drops what it keeps of the model's encodings; needed after the encoder has changed."""
        if self.model.kept_encodings is None:
            self._kept.clear()

    def _score(
        self, choice: ChoiceInput, state: torch.Tensor, action_hidden: Mapping[str, torch.Tensor]
    ) -> tuple[np.ndarray, float]:
        """Scores a page; ``action_hidden``: every action text as it is kept."""
        device, count = state.device, len(choice.actions)
        texts = {text: row for row, text in enumerate(dict.fromkeys(choice.actions))}
        products = product_tensors([choice.products], count)
        output = self.model.score(
            EncodedTexts(state, torch.tensor([len(state)], device=device)),
            EncodedTexts.of([action_hidden[text] for text in texts]),
            Choices(
                torch.zeros(1, dtype=torch.long, device=device),
                torch.tensor([[texts[text] for text in choice.actions]], device=device),
                torch.ones(1, count, dtype=torch.bool, device=device),
                torch.from_numpy(choice.features)[None].to(device),
                torch.tensor([choice.steps_left], device=device),
                SeenProducts(*(tensor.to(device) for tensor in products.values())) if products else None,
            ),
        )
        return output.log_probs[0].cpu().numpy(), output.state_values[0].item()

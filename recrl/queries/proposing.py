"""Queries that a trained model proposes for an instruction: what `recrl.webshop.env.WebShopEnv` asks of ``queries``.

Each instruction is decoded alone, by beam search, and once: what is proposed depends on the instruction, the model and
the number of queries, and on nothing else.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError
from recrl.queries.pairs import normalised

DEFAULT_NUM_QUERIES = 5
BEAMS_PER_QUERY = 2  # some beams end as the plain instruction, or as each other but for punctuation
MAX_BEAMS_PER_QUERY = 8
MAX_INSTRUCTION_TOKENS, MAX_QUERY_TOKENS = 64, 32
_WORD = re.compile(r"\w+")
_MARK = re.compile(r"([^\w\s])")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A query and the model's mean log-probability of its tokens, by which proposals are ordered."""

    query: str
    log_prob: float


def words_of(text: str) -> tuple[str, ...]:
    """The lower-case words of a text without punctuation; texts with equal words count as the same query."""
    return tuple(_WORD.findall(text.lower()))


def respell(query: str, instruction: str) -> str:
    """Joins what a tokenizer split at punctuation ("7 . 5") where the instruction has it in one piece ("7.5")."""
    text = f" {_apart(query)} "
    for word in sorted(set(instruction.split()), key=len, reverse=True):
        if _MARK.search(word):
            text = text.replace(f" {_apart(word)} ", f" {word} ")
    return text.strip()


def _apart(text: str) -> str:
    """The text with blanks around every punctuation mark."""
    return " ".join(_MARK.sub(r" \1 ", text).split())


class QueryModel:
    """A sequence-to-sequence model that proposes queries; called with an instruction, it gives their texts.

    Args:
        model, tokenizer: as `recrl.queries.seq2seq.load_seq2seq` gives them.
        name: for results; num_queries: how many are proposed at most.

    Attributes:
        sha256: of the model's weights.

    Raises:
        ConfigError: ``num_queries`` is below 1.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str, num_queries: int = DEFAULT_NUM_QUERIES) -> None:
        _check_count("num_queries", num_queries)
        self.model, self.tokenizer, self.name, self.num_queries = model.eval(), tokenizer, name, num_queries
        self.sha256 = _weights_sha256(model)
        self._known: dict[tuple[str, int], tuple[Proposal, ...]] = {}

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, num_queries: int = DEFAULT_NUM_QUERIES, device: str | None = None
    ) -> "QueryModel":
        """A model by folder or Hub id.

        Args:
            device: None is the GPU if there is one.

        Raises:
            CheckpointError: it cannot be loaded.
            ConfigError: ``num_queries`` is below 1.
        """
        import torch

        from recrl.queries.seq2seq import load_seq2seq

        _check_count("num_queries", num_queries)
        model: Any
        model, tokenizer = load_seq2seq(source)
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        name = Path(source).name if Path(source).exists() else str(source)
        return cls(model, tokenizer, name=name, num_queries=num_queries)

    def __call__(self, instruction: str) -> tuple[str, ...]:
        """The proposed queries for an instruction without its price clause, best first."""
        [proposals] = self.propose([instruction])
        return tuple(proposal.query for proposal in proposals)

    def propose(self, instructions: Sequence[str], k: int | None = None) -> list[tuple[Proposal, ...]]:
        """The best queries for each instruction, best first.

        Every query is lower-case, without brackets or line breaks, not empty, and has other words than the instruction
        and than every other one. There are ``k`` unless `MAX_BEAMS_PER_QUERY` beams for each do not yield as many.

        Args:
            k: how many; None is ``num_queries``.
        """
        count = self.num_queries if k is None else k
        _check_count("k", count)
        for instruction in dict.fromkeys(instructions):
            if (instruction, count) not in self._known:
                self._known[instruction, count] = self._decode(instruction, count)
        return [self._known[instruction, count] for instruction in instructions]

    def _decode(self, instruction: str, count: int) -> tuple[Proposal, ...]:
        beams, plain = BEAMS_PER_QUERY * count, normalised(instruction)
        while True:
            found: dict[tuple[str, ...], Proposal] = {}
            for text, log_prob in self._beam_search(plain, beams):
                query = respell(normalised(text), plain)
                words = words_of(query)
                if words and words != words_of(plain) and words not in found:
                    found[words] = Proposal(query, log_prob)
            if len(found) >= count or 2 * beams > MAX_BEAMS_PER_QUERY * count:
                return tuple(found.values())[:count]
            beams *= 2

    def _beam_search(self, text: str, beams: int) -> list[tuple[str, float]]:
        """Texts and mean log-probabilities of all beams, best first."""
        import torch

        inputs = self.tokenizer([text], truncation=True, max_length=MAX_INSTRUCTION_TOKENS, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                num_beams=beams,
                num_return_sequences=beams,
                do_sample=False,
                max_new_tokens=MAX_QUERY_TOKENS,
                length_penalty=1.0,
                early_stopping=True,
                return_dict_in_generate=True,
                output_scores=True,
            )
        texts = self.tokenizer.batch_decode(
            output.sequences, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return list(zip(texts, output.sequences_scores.tolist(), strict=True))


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise ConfigError(f"{name}={count}, expected at least 1")


def _weights_sha256(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode("utf-8"))
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def load_queries(query_model: str | None, num_queries: int = DEFAULT_NUM_QUERIES) -> QueryModel | None:
    """The model behind a ``query_model`` setting; None, and the plain instruction alone, for None."""
    return None if query_model is None else QueryModel.from_pretrained(query_model, num_queries=num_queries)


def describe_queries(queries: Callable[[str], Sequence[str]] | None) -> dict[str, Any]:
    """What a result says about proposed queries; nothing if there were none."""
    if queries is None:
        return {}
    if isinstance(queries, QueryModel):
        return {
            "query_model": queries.name,
            "num_queries": queries.num_queries,
            "query_model_sha256": queries.sha256,
        }
    return {"query_model": getattr(queries, "__qualname__", type(queries).__qualname__)}


def recorded(config: Any) -> dict[str, Any]:
    """A configuration's fields for a file; without ``query_model`` its two fields do not appear, and an ``environment``
    only where there is one of one's own.
    """
    fields = asdict(config)
    if fields.get("environment", ...) is None:
        del fields["environment"]
    if fields["query_model"] is None:
        del fields["query_model"], fields["num_queries"]
    return fields

"""Published checkpoints: a converted model scores as the plain twin of the original does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from published_model import original

from decision_data import colour_episode
from recrl.episodes.decisions import LabelledDecision
from recrl.errors import CheckpointError
from recrl.files import read_json, sha256_of
from recrl.policies.scorer import ScorerPolicy
from recrl.scoring.checkpoints import load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.published import convert_published
from recrl.training.imitation import decisions_of


@pytest.fixture(scope="module")
def tokenizer_folder(tiny_encoder: Path) -> Path:
    return tiny_encoder


def pages(folder: Path) -> tuple[ChoiceCollator, list[LabelledDecision]]:
    model, tokenizer = load_scorer(folder)
    return ChoiceCollator(tokenizer, model.config), decisions_of([colour_episode(number) for number in range(3)])


@pytest.mark.parametrize("values", [False, True])
def test_a_converted_model_equals_the_original(tokenizer_folder: Path, tmp_path: Path, values: bool) -> None:
    theirs = original(tokenizer_folder, tmp_path / "choice.pth", values=values)
    notes = convert_published(tmp_path / "choice.pth", tmp_path / "scorer", tokenizer=tokenizer_folder)
    assert {name for name in notes if "image" in name} == {"image_linear.weight", "image_linear.bias"}
    assert ("value_head" in notes) != values
    made_from = read_json(tmp_path / "scorer" / "manifest.json")["made_from"]
    assert made_from == {"choice.pth": sha256_of(tmp_path / "choice.pth")}
    ours, _ = load_scorer(tmp_path / "scorer")
    collator, rows = pages(tmp_path / "scorer")
    batch = collator.labelled(rows).tensors()
    found = ours(**batch)
    expected = []
    for page in range(len(rows)):
        state = batch["state_index"][page]
        action = batch["action_index"][page][batch["valid_mask"][page]]
        width = int(batch["action_mask"][action].sum(1).max())
        state_ids = batch["state_ids"][state][batch["state_mask"][state]]
        expected.append(theirs(state_ids, batch["action_ids"][action, :width], batch["action_mask"][action, :width]))
    for page, log_probs in enumerate(expected):
        torch.testing.assert_close(found.log_probs[page, : len(log_probs)], log_probs, atol=1e-5, rtol=0)
    loss = -torch.stack([row[labelled.right_actions] for row, labelled in zip(expected, rows, strict=True)]).mean()
    torch.testing.assert_close(found.loss, loss, atol=1e-5, rtol=0)
    names = {"attn.dot_scale": "dot_scale", "attn.input_linear.weight": "input_linear.weight"}
    gradients = dict(zip(dict(ours.named_parameters()), torch.autograd.grad(
        found.loss, list(ours.parameters()), allow_unused=True
    ), strict=True))  # fmt: skip
    for name, parameter in theirs.named_parameters():
        mine = gradients.get(names.get(name, name.replace("attn.", "")))
        gradient = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)[0]
        if gradient is not None:
            assert mine is not None, name
            torch.testing.assert_close(mine, gradient, atol=1e-5, rtol=1e-4)
    if values:
        first = theirs.bert(batch["state_ids"][:1, : int(batch["state_mask"][0].sum())]).last_hidden_state[:, 0]
        torch.testing.assert_close(found.state_values[:1], theirs.linear_3(first)[:, 0], atol=1e-5, rtol=0)


def test_masking_changes_pages_of_unequal_actions_only(tokenizer_folder: Path, tmp_path: Path) -> None:
    original(tokenizer_folder, tmp_path / "choice.pth")
    for way in ("original", "masked"):
        convert_published(tmp_path / "choice.pth", tmp_path / way, tokenizer=tokenizer_folder, pad_attention=way)
    collator, rows = pages(tmp_path / "masked")
    batch = collator.labelled(rows).tensors()
    models = {way: load_scorer(tmp_path / way)[0] for way in ("original", "masked")}
    unequal = {way: model(**batch).log_probs for way, model in models.items()}
    assert (unequal["original"] - unequal["masked"]).abs().nan_to_num(0).max() > 1e-4
    length = int(batch["action_mask"].sum(1).min())
    equal = dict(batch, action_ids=batch["action_ids"][:, :length], action_mask=batch["action_mask"][:, :length])
    both = [model(**equal).log_probs for model in models.values()]
    torch.testing.assert_close(*both, atol=1e-5, rtol=0)


def test_the_policy_scores_as_the_model_does(tokenizer_folder: Path, tmp_path: Path) -> None:
    original(tokenizer_folder, tmp_path / "choice.pth")
    convert_published(tmp_path / "choice.pth", tmp_path / "scorer", tokenizer=tokenizer_folder)
    model, tokenizer = load_scorer(tmp_path / "scorer")
    collator, rows = pages(tmp_path / "scorer")
    decisions = [row.decision for row in rows]
    expected = model(**collator(decisions).tensors()).log_probs
    for row, log_probs in enumerate(ScorerPolicy(model, tokenizer).log_probs(decisions)):
        torch.testing.assert_close(torch.tensor(log_probs), expected[row, : len(log_probs)], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("attn.dot_scale"), r"attn\.dot_scale is missing"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "extra is unknown"),
        (lambda tensors: tensors.update({"linear_2.weight": torch.ones(2, 3)}), r"linear_2\.weight has shape \(2, 3\)"),
        (lambda tensors: tensors.pop("bert.embeddings.word_embeddings.weight"), "holds no BERT encoder"),
        (lambda tensors: tensors.pop("linear_3.0.bias"), r"linear_3\.0\.bias is missing"),
        (lambda tensors: tensors.update({"bert.embeddings.word_embeddings.weight": torch.ones(9, 64)}), "of 9 tokens"),
    ],
)
def test_what_cannot_be_placed_fails_with_its_name(
    tokenizer_folder: Path, tmp_path: Path, change: object, message: str
) -> None:
    tensors = original(tokenizer_folder, tmp_path / "choice.pth", values=True).state_dict()
    change(tensors)  # type: ignore[operator]
    torch.save(tensors, tmp_path / "changed.pth")
    with pytest.raises(CheckpointError, match=message):
        convert_published(tmp_path / "changed.pth", tmp_path / "scorer", tokenizer=tokenizer_folder)
    assert not (tmp_path / "scorer").exists()


@pytest.mark.slow
def test_the_command_reads_wrapped_files_too(tokenizer_folder: Path, tmp_path: Path) -> None:
    tensors = original(tokenizer_folder, tmp_path / "choice.pth").state_dict()
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}, "epoch": 9}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    command = [sys.executable, "-m", "recrl", "convert-checkpoint", str(tmp_path / "wrapped.pth")]
    command += ["--output_dir", str(tmp_path / "scorer"), "--tokenizer_name_or_path", str(tokenizer_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out image_linear.weight: images are not read" in done.stdout
    assert load_scorer(tmp_path / "scorer")[0].config.pad_attention == "original"
    (tmp_path / "none.pth").write_bytes(b"no checkpoint")
    again = subprocess.run(
        [*command[:4], str(tmp_path / "none.pth"), "--output_dir", str(tmp_path / "x")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "cannot be read as a PyTorch checkpoint" in again.stderr

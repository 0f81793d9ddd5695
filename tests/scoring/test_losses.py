"""The loss where several actions are right: by hand, and as plain cross-entropy where there is one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recrl.scoring.losses import best_is_right, right_action_loss


def test_the_loss_by_hand() -> None:
    """Three right actions of four share 0.75; one of two has 0.25, beside a place without an action."""
    log_probs = torch.tensor([[0.5, 0.125, 0.125, 0.25], [0.75, 0.25, 0.0, 0.0]]).log()
    right = torch.tensor([[True, True, True, False], [False, True, False, False]])
    assert right_action_loss(log_probs, right).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert best_is_right(log_probs, right).tolist() == [True, False]
    everything = log_probs.isfinite()
    assert right_action_loss(log_probs, everything).item() == pytest.approx(0, abs=1e-7)  # nothing to learn


def test_the_gradient_leaves_the_shares_of_right_actions_as_they_are() -> None:
    """By hand: probability minus the share among the right ones, for each score."""
    scores = torch.tensor([[0.5, 0.125, 0.125, 0.25]]).log().requires_grad_()
    right_action_loss(scores.log_softmax(-1), torch.tensor([[True, True, False, False]])).backward()
    expected = [[0.5 - 0.8, 0.125 - 0.2, 0.125, 0.25]]
    torch.testing.assert_close(scores.grad, torch.tensor(expected))


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 30), st.sampled_from([1e-3, 1.0, 30.0, 300.0])
)  # fmt: skip
def test_one_right_action_is_cross_entropy_to_the_last_bit(
    seed: int, decisions: int, actions: int, scale: float
) -> None:
    """In value and gradient, for any number of decisions and actions, however sure the scores are."""
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(decisions, actions, generator=generator)
    counts = torch.randint(1, actions + 1, (decisions, 1), generator=generator)
    valid = torch.arange(actions)[None] < counts
    label = (torch.rand(decisions, 1, generator=generator) * counts).long()[:, 0]
    found = []
    for ours in (True, False):
        leaf = scores.clone().requires_grad_()
        log_probs = leaf.masked_fill(~valid, -torch.inf).log_softmax(-1)
        right = torch.nn.functional.one_hot(label, actions).bool()
        loss = right_action_loss(log_probs, right) if ours else torch.nn.functional.nll_loss(log_probs, label)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
        assert torch.equal(best_is_right(log_probs, right), log_probs.argmax(-1) == label)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])

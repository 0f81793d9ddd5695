"""The judgement: from a wish and what is known of a product, the probability that buying the product is perfect.

`MatchHead` reads the numbers of `recrl.scoring.evidence` of every product that was seen, each beside the greatest and
the mean of the others (as in deep sets, arXiv:1703.06114), and gives a logit a product. `fit_features` turns the logits
into numbers about actions, which the scorer reads beside its others: how well the product that an action stands for
fits, how well the best other one does, and what one more look is worth.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from recrl.episodes.notes import NotedProduct
from recrl.scoring.evidence import match_features
from recrl.scoring.wishes import Wish

FIT_FEATURES = {
    "fit": "probability that the product which the action stands for is perfect; 0 where there is none",
    "fit_logit": "its logit, between -8 and 8, an eighth; 0 where there is none",
    "other_fit": "probability of the best other product",
    "lead": "fit less other_fit",
    "look_gain": "what learning the truth about the product adds to the best probability",
    "look_gain_a_step": "the same a step of the next look at it; 0 if nothing of it is unseen",
    "other_look_gain": "the greatest such gain a step of another product",
    "slack": "steps that are left after buying the product, a fifth each, from -1 to 2",
    "other_slack": "steps that are left after buying the best other product, a fifth each, from -1 to 2",
    "none_fits": "probability that no product seen is perfect, if they were independent",
}


class MatchHead(nn.Module):
    """Numbers about products -> logits of being perfect.

    The numbers are standardised with ``mean`` and ``deviation``, and the logits are multiplied by ``sharpness`` and
    shifted by ``shift``, which calibration sets (Platt 1999; Guo et al., arXiv:1706.04599).
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    sharpness: torch.Tensor
    shift: torch.Tensor

    def __init__(self, num_features: int, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, 1)
        self.hidden_1 = nn.Linear(3 * num_features, hidden_size)
        self.hidden_2 = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1)
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.register_buffer("sharpness", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(decisions, products, features) numbers, (decisions, products) True at products -> (decisions, products)."""
        if features.shape[1] == 0:  # nothing was seen yet
            return features.new_zeros(mask.shape, dtype=torch.float32)
        x = (features - self.mean) / self.deviation
        real = mask.unsqueeze(-1)
        most = x.masked_fill(~real, -torch.inf).amax(1, keepdim=True).nan_to_num(neginf=0.0)
        mean = (x * real).sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1)
        beside = torch.cat([x, most - x, mean.expand_as(x)], dim=-1)  # (decisions, products, 3 * features)
        hidden = torch.relu(self.hidden_2(torch.relu(self.hidden_1(beside))))
        logits = (self.score(hidden) + self.linear(x)).squeeze(-1).float()
        return logits * self.sharpness + self.shift


@torch.no_grad()
def judge(head: MatchHead, wish: Wish, products: Sequence[NotedProduct], names: Sequence[str]) -> np.ndarray:
    """(products,) float64 probabilities of being perfect; ``names``: the features that the head reads."""
    if not products:
        return np.zeros(0)
    features = torch.from_numpy(match_features(wish, products, names))[None].to(head.mean.device)
    mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
    return head(features, mask)[0].double().sigmoid().cpu().numpy()


def fit_features(
    logits: torch.Tensor,
    mask: torch.Tensor,
    steps: torch.Tensor,
    of_action: torch.Tensor,
    steps_left: torch.Tensor,
) -> torch.Tensor:
    """The numbers of `FIT_FEATURES` about each action.

    Args:
        logits: (decisions, products) of the match head; mask: same shape, True at products.
        steps: (decisions, products, 2) as `recrl.scoring.inputs.ProductInputs` has them.
        of_action: (decisions, actions) places of products, -1 where an action stands for none.
        steps_left: (decisions,).

    Returns:
        (decisions, actions, numbers) fp32.
    """
    if logits.shape[1] == 0:  # nothing was seen yet
        found = logits.new_zeros(*of_action.shape, len(FIT_FEATURES))
        found[..., -1] = 1.0  # none fits
        return found
    chances = logits.sigmoid().masked_fill(~mask, 0.0)  # (decisions, products)
    best, second = _two_best(chances)
    other = _other(chances, best, second)  # (decisions, products) the best of the others
    gain = chances + (1 - chances) * other - torch.maximum(chances, other)
    look, buy = steps[..., 1], steps[..., 0]
    by_step = torch.where((look > 0) & mask, gain / look.clamp(min=1), 0.0)
    other_by_step = _other(by_step, *_two_best(by_step))
    slack = ((steps_left[:, None] - buy) / 5).clamp(-1, 2).masked_fill(~mask, 0.0)
    none = (1 - chances).prod(1, keepdim=True)  # (decisions, 1)
    best_place = chances.argmax(1, keepdim=True)
    second_place = chances.masked_fill(~mask, -1.0).scatter(1, best_place, -2.0).argmax(1, keepdim=True)
    has_second = mask.sum(1, keepdim=True) > 1  # (decisions, 1)
    is_best = torch.arange(chances.shape[1], device=chances.device)[None] == best_place
    second_slack = slack.gather(1, second_place).where(has_second, 0.0)
    other_slack = torch.where(is_best, second_slack, slack.gather(1, best_place))
    clipped = logits.clamp(-8, 8).masked_fill(~mask, 0.0) / 8
    columns = torch.stack(
        [chances, clipped, other, chances - other, gain, by_step, other_by_step, slack, other_slack,
         none.expand_as(chances)],
        dim=-1,
    )  # (decisions, products, numbers)  # fmt: skip
    nothing = torch.zeros_like(columns[:, :1])  # for actions that stand for no product
    nothing[..., 2] = best
    nothing[..., 6] = by_step.amax(1, keepdim=True)
    nothing[..., 8] = slack.gather(1, best_place)
    nothing[..., 9] = none
    columns = torch.cat([columns, nothing], dim=1)
    places = torch.where(of_action < 0, chances.shape[1], of_action)
    return columns.gather(1, places.unsqueeze(-1).expand(-1, -1, columns.shape[-1]))


def _two_best(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(decisions, products) -> the greatest and the second, each (decisions, 1); 0 where there is none."""
    if values.shape[1] == 1:
        return values, torch.zeros_like(values)
    top = values.topk(2, dim=1).values
    return top[:, :1], top[:, 1:]


def _other(values: torch.Tensor, best: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(decisions, products) the greatest of the other values: the second for the best itself."""
    return torch.where(values == best, second, best.expand_as(values))

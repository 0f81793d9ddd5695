"""What a perfect shopper reaches on given goals: the best product among the first hits, with perfect options."""

from collections.abc import Sequence

from recrl.webshop.best_purchase import best_reward
from recrl.webshop.catalog import Catalog
from recrl.webshop.goals import Goal
from recrl.webshop.pages import HITS_PER_PAGE


def ceiling_rewards(catalog: Catalog, goal_indices: Sequence[int], *, num_hits: int = HITS_PER_PAGE) -> list[float]:
    """For each goal, the best reward among the first ``num_hits`` products that its plain instruction finds."""
    rewards = []
    for index in goal_indices:
        goal = catalog.goals[index]
        hits = plain_hits(catalog, goal)[:num_hits]
        rewards.append(max((best_reward(catalog.products[hit], goal) for hit in hits), default=0.0))
    return rewards


def plain_hits(catalog: Catalog, goal: Goal) -> list[int]:
    """Positions of the products that the goal's plain instruction finds, best first."""
    return catalog.search(goal.instruction_without_price.lower())

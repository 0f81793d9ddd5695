"""What the words of our tables mean, said once: the legends below the tables, and the names in their first column."""

from collections.abc import Collection, Mapping

from recrl.evaluation.result_types import Result

KNOWS_THE_GOAL = "knows the goal"
SUCCESS = "share of the goals that earned a reward of exactly 1: everything that was asked for"
SCORE = "mean reward times 100, with partly fitting purchases; an episode without a purchase earns 0"
INTERVAL = (
    "95% interval for other products of this kind; it counts target products, not goals, because goals about one "
    "product are alike"
)
PER_PRODUCT = "the mean over target products of each one's success, so that a product with many goals counts once"
STEPS = "mean number of actions in an episode"
DIFFERENCE = "paired difference in success on the same goals, in points; an interval without 0 shows that there is one"
MEANINGS = {
    KNOWS_THE_GOAL: "it is told which product is wanted, as no shopper is: a teacher or a bound, not a competitor",
    "ceiling": "the best purchase that can be made among the first hits of the plain instruction, 10 on page 1 or 50 "
    "in all; it knows the goal and is no policy",
}


def marked(name: str, *, knows_goal: bool | None) -> str:
    """The name of a policy in a table, which says so, once, if it knows the goal."""
    mark = f" ({KNOWS_THE_GOAL})"
    return f"{name.removesuffix(mark)}{mark}" if knows_goal else name


def result_legend(results: Mapping[str, Result], *, against: Collection[str] = ()) -> dict[str, str]:
    """The legend of a table of results.

    Args:
        against: the names of its columns of paired differences.
    """
    special = {
        KNOWS_THE_GOAL: any(result.knows_goal for result in results.values()),
        "ceiling": any(result.max_steps is None for result in results.values()),
    }
    return {
        "success %": SUCCESS,
        "score": SCORE,
        "[low, high]": INTERVAL,
        "success % per product": PER_PRODUCT,
        "steps": STEPS,
        **dict.fromkeys(against, DIFFERENCE),
        **{word: MEANINGS[word] for word, is_there in special.items() if is_there},
    }


def comparison_legend(*, knows_goal: bool, adaptive: bool) -> dict[str, str]:
    """The legend of the table of a comparison.

    Args:
        knows_goal: whether an agent does; adaptive: whether episodes were allotted by what was found so far.
    """
    allotted = "allotted to it, by the probability that it is the best" if adaptive else "that it played"
    return {
        "episodes": f"number of episodes {allotted}",
        "success %": f"{SUCCESS}; estimated so that the allotment does not bias it",
        "score": SCORE,
        "[low, high]": "95% confidence sequence for episodes on these goals, valid whenever the comparison is stopped",
        "running success %": "plain mean of what was played, which adaptive allotment biases",
        "P(best) by run": "posterior probability of being the best agent, at the end of each run",
        **({KNOWS_THE_GOAL: MEANINGS[KNOWS_THE_GOAL]} if knows_goal else {}),
    }

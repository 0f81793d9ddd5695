"""Why episodes failed, as frozen types whose values are checked when they are born; see `recrl.evaluation.failures`."""

from collections.abc import Sequence
from dataclasses import dataclass

from recrl.errors import DatasetError

# One per failed episode: the first that holds, in this order. The values are for people.
KINDS = {
    "looped": "never bought, in a loop",
    "still_looking": "never bought, still looking",
    "wrong_option": "right product, wrong option",
    "missing_option": "right product, option missing",
    "perfect_opened": "wrong, perfect one left",
    "perfect_shown": "wrong, perfect one not opened",
    "perfect_not_shown": "wrong, perfect one not shown",
    "none_findable": "wrong, no perfect one found",
}
MEANINGS = {
    "looped": "the step limit came while it repeated an action on an equal page",
    "still_looking": "the step limit came while it did something new",
    "wrong_option": "it could have earned 1, but an option was set to something else than what was asked for",
    "missing_option": "it could have earned 1, but an option was not set",
    "perfect_opened": "another product was bought, after a perfect one had been opened",
    "perfect_shown": "another product was bought; the link of a perfect one was shown and not opened",
    "perfect_not_shown": "another product was bought; a perfect one is among the 50 hits of the plain instruction, but "
    "was not shown",
    "none_findable": "another product was bought; no perfect one is among the hits of the plain instruction",
}
NEVER_BOUGHT = ("looped", "still_looking")
RIGHT_PRODUCT = ("wrong_option", "missing_option")

# What a purchase lacks; it can lack several.
LACKS = (
    "type", "price", "option", "attribute_features_unread", "attribute_description_unread", "attribute_read",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lack:
    """Something wanted that a purchase does not have.

    Attributes:
        what: one of `LACKS`; wanted: in words.
    """

    what: str
    wanted: str

    def __post_init__(self) -> None:
        if self.what not in LACKS:
            raise DatasetError(f"what={self.what!r}, expected one of {', '.join(LACKS)}")


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What was bought.

    Attributes:
        asin, title: of the product; price: in dollars, as the reward counts it.
        options: group -> value, as chosen.
        lacks: of a product that could have been perfect, the options that the chosen ones do not match; of any other
            what it lacks even with its best options.
    """

    asin: str
    title: str
    price: float
    options: dict[str, str]
    lacks: tuple[Lack, ...]

    def __post_init__(self) -> None:
        if not self.lacks:
            raise DatasetError(f"the purchase of {self.asin} lacks nothing, so it is no failure")


@dataclass(frozen=True, kw_only=True)
class PerfectProduct:
    """A product that would have earned a reward of 1.

    Attributes:
        asin, title: of the product; price: in dollars, as the reward counts it.
        page_number, place: where its link stands, both from 1: on the results page where the shopper saw it first, or,
            if it was not shown, on those of the plain instruction.
        shown: whether the shopper saw its link; opened: whether it was opened; read: its sub pages that were.
    """

    asin: str
    title: str
    price: float
    page_number: int
    place: int
    shown: bool
    opened: bool
    read: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.page_number < 1 or self.place < 1:
            raise DatasetError(f"page_number={self.page_number}, place={self.place}; expected at least 1")
        if (self.opened and not self.shown) or (self.read and not self.opened):
            raise DatasetError(
                f"shown={self.shown}, opened={self.opened}, read={self.read}: a product is shown before it is opened, "
                "and opened before it is read"
            )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an episode failed.

    Attributes:
        goal_index: of the goal; target_asin: of the product that it asks for; instruction: what the shopper said.
        kind: one of `KINDS`.
        reward: below 1.
        bought: None if nothing was.
        perfect: a perfect product other than the one bought: one that was opened, or else the first that was shown, or
            else the first hit of the plain instruction; None if there is none, or a right product was bought.
        actions: of the episode.
    """

    goal_index: int
    target_asin: str
    instruction: str
    kind: str
    reward: float
    bought: Purchase | None
    perfect: PerfectProduct | None
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DatasetError(f"kind={self.kind!r}, expected one of {', '.join(KINDS)}")
        if not 0 <= self.reward < 1:
            raise DatasetError(f"reward={self.reward!r}, expected one of a failure: from 0 to below 1")
        if (self.bought is None) != (self.kind in NEVER_BOUGHT):
            raise DatasetError(f"kind={self.kind!r} contradicts bought={self.bought}")
        if self.bought is not None and self.kind != _kind_of_purchase(self.kind in RIGHT_PRODUCT, self):
            raise DatasetError(f"kind={self.kind!r} contradicts perfect={self.perfect}")


def kind_of_wrong_product(perfect: PerfectProduct | None) -> str:
    """The kind of a purchase that could not have been perfect."""
    if perfect is None:
        return "none_findable"
    if perfect.opened:
        return "perfect_opened"
    return "perfect_shown" if perfect.shown else "perfect_not_shown"


def _kind_of_purchase(right: bool, failure: Failure) -> str:
    """The kind that follows from what else a failure says; of a right product, the stated one."""
    if right:
        return failure.kind if failure.perfect is None else "a wrong product"
    return kind_of_wrong_product(failure.perfect)


@dataclass(frozen=True, kw_only=True)
class KindCount:
    """How often a kind of failure occurred.

    Attributes:
        kind: one of `KINDS`; episodes: of that kind; products: different products that these asked for.
        lacks: for each of `LACKS` the episodes whose purchase lacks it; one can count several times.
    """

    kind: str
    episodes: int
    products: int
    lacks: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Failures:
    """All failures of an evaluation.

    Attributes:
        num_failures: failed episodes.
        kinds: a count for every kind, in the order of `KINDS`; they add up to ``num_failures``.
        episodes: the failures, in the order of the goals.
    """

    num_failures: int
    kinds: tuple[KindCount, ...]
    episodes: tuple[Failure, ...]

    def __post_init__(self) -> None:
        if self.num_failures != len(self.episodes):
            raise DatasetError(f"num_failures={self.num_failures} contradicts {len(self.episodes)} episodes")
        if self.kinds != count_kinds(self.episodes):
            raise DatasetError("the counts of the kinds contradict the episodes")

    @classmethod
    def of(cls, episodes: Sequence[Failure]) -> "Failures":
        """Failures with their counts."""
        return cls(num_failures=len(episodes), kinds=count_kinds(episodes), episodes=tuple(episodes))


def count_kinds(episodes: Sequence[Failure]) -> tuple[KindCount, ...]:
    """A count for every kind, in the order of `KINDS`."""
    return tuple(_count(kind, [failure for failure in episodes if failure.kind == kind]) for kind in KINDS)


def _count(kind: str, failures: Sequence[Failure]) -> KindCount:
    lacking = [{lack.what for lack in failure.bought.lacks} for failure in failures if failure.bought is not None]
    return KindCount(
        kind=kind,
        episodes=len(failures),
        products=len({failure.target_asin for failure in failures}),
        lacks={what: sum(what in lacks for lacks in lacking) for what in LACKS},
    )

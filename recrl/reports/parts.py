"""What the page is put together from: sections of tables and charts, some of them folded up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

Swatches = Sequence[tuple[str, int]]  # what a colour stands for, and the colour's place


@dataclass(frozen=True)
class Chart:
    """A chart with its heading, what its colours stand for, and what is to be said below."""

    title: str
    picture: Markup
    note: str = ""
    is_alarm: bool = False
    legend: Swatches = ()


@dataclass(frozen=True)
class Grid:
    """A table whose cells can hold pictures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    notes: Sequence[str] = ()


@dataclass
class Fold:
    """What is shown when its title is clicked on; ``summary`` says beside the title what is in it."""

    title: str
    summary: str = ""
    grids: list[Grid] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    is_alarm: bool = False
    is_open: bool = False


@dataclass
class Section:
    """A section of the page: its anchor, its heading, a paragraph, and what it holds.

    Attributes:
        legend: what the colours of its tables stand for; meanings: a word of its tables -> what it means.
    """

    anchor: str
    title: str
    text: str = ""
    grids: list[Grid] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    legend: Swatches = ()
    meanings: dict[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not (self.grids or self.charts or self.folds)

    def explain(self, legend: Mapping[str, str]) -> None:
        """Adds what the words of a table mean; words that mean the same stand together."""
        for word, text in legend.items():
            known = next((one for one, meaning in self.meanings.items() if meaning == text), None)
            words = [] if known is None else known.split("; ")
            if known is not None and word not in words:
                self.meanings = {
                    "; ".join([*words, word]) if one == known else one: meaning
                    for one, meaning in self.meanings.items()
                }
            elif known is None:
                self.meanings[word] = text

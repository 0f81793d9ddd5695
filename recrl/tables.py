"""Tables of text, written in one place: as Markdown, LaTeX, CSV or on the terminal.

Names in a table come from anywhere, so every writer escapes what its format would read as markup.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recrl.errors import ConfigError
from recrl.terminal import plain

FORMATS = ("md", "latex", "csv")
TERMINAL_WIDTH = 140  # characters of a table that goes to a file or a pipe
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def with_interval(value: float, interval: Sequence[float], form: str = ".1f") -> str:
    """A number with its interval, "61.2 [55.0, 67.0]"; ``form`` is the format of each of the three."""
    low, high = interval
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes:
        header: (columns,) names of the columns; rows: each has as many cells.
        caption: what stands below, on one line.
        notes: further lines below the caption, in Markdown only.
        rule: the cell of the line between header and rows, in Markdown only.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    notes: Sequence[str] = ()
    rule: str = " --- "

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(f"row {place} has {len(row)} cells, expected {len(self.header)}: {', '.join(row)}")

    def render(self, form: str) -> str:
        """The table in one of `FORMATS`.

        Raises:
            ConfigError: the format is unknown.
        """
        writers = {"md": self.markdown, "latex": self.latex, "csv": self.csv}
        if form not in writers:
            raise ConfigError(f"format={form!r}, expected one of {', '.join(FORMATS)}")
        return writers[form]()

    def markdown(self) -> str:
        """The table, an empty line, caption and notes."""
        header, *rows = [f"| {' | '.join(map(escape_cell, row))} |" for row in [self.header, *self.rows]]
        rule = f"|{'|'.join([self.rule] * len(self.header))}|"
        below = map(escape_markdown, [self.caption, *self.notes])
        return "\n".join([header, rule, *rows, "", *below, ""])

    def latex(self) -> str:
        """A ``table`` environment with the caption above."""
        header, *rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in [self.header, *self.rows]]
        return "\n".join(
            [
                r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
                r"\hline", header, r"\hline", *rows, r"\hline", r"\end{tabular}", r"\end{table}", "",
            ]
        )  # fmt: skip

    def csv(self) -> str:
        """Header and rows; no caption."""
        output = io.StringIO()
        csv.writer(output, lineterminator="\n").writerows([self.header, *self.rows])
        return output.getvalue()

    def print(self) -> None:
        """Shows the table on the terminal, or `TERMINAL_WIDTH` characters wide where the output is none."""
        from rich.console import Console
        from rich.table import Column
        from rich.table import Table as RichTable
        from rich.text import Text  # a text is shown as it is; a string would be read as rich markup

        table = RichTable(
            *(Column(Text(plain(name))) for name in self.header),
            caption=Text(plain(self.caption), style="table.caption"),
            caption_justify="left",
        )
        for row in self.rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        console = Console()
        console = console if console.is_terminal else Console(width=TERMINAL_WIDTH)
        console.print(table)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _replaced(" ".join(text.splitlines()), {character: f"\\{character}" for character in "\\`*<"}).replace(
        "](", r"\]("
    )


def escape_cell(text: str) -> str:
    """Text that Markdown shows as it is in one cell of a table."""
    return escape_markdown(text).replace("|", r"\|")


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return _replaced(text, LATEX_ESCAPES)


def _replaced(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)

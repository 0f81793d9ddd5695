"""Tables, written in one place: on the terminal, as Markdown, LaTeX, CSV or JSON (``--format``).

Below a table for people stand its caption and its legend, which says what the columns mean. CSV and JSON are for
programs: an interval is three numbers there, and JSON holds caption and legend too. Names in a table come from
anywhere, so every writer escapes what its format would read as markup.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recrl.errors import ConfigError
from recrl.terminal import plain, show

FORMATS = ("terminal", "md", "latex", "csv", "json")
FOR_PROGRAMS = ("csv", "json")
TERMINAL_WIDTH = 140  # characters of a table that goes to a file or a pipe
INTERVAL = " [95% CI]"  # ends the name of a column of numbers with intervals
NOTHING = ("", "-")  # cells that say nothing: a program finds none there
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """How tables are printed."""

    format: str = field(
        default="terminal",
        metadata={"help": "Format of the printed tables: for reading, or for other programs.", "choices": FORMATS},
    )


@dataclass(frozen=True)
class Number:
    """A number in a table.

    Attributes:
        value: itself; interval: its lower and upper end, if it has one; form: the format of each of the three.
        note: stands behind it in parentheses, if there is one.
    """

    value: float
    interval: tuple[float, float] | None = None
    form: str = ".1f"
    note: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.value:{self.form}}"
            if self.interval is None
            else with_interval(self.value, self.interval, self.form)
        )
        return f"{text} ({self.note})" if self.note else text


Cell = str | int | Number


def with_interval(value: float, interval: Sequence[float], form: str = ".1f") -> str:
    """A number with its interval, "61.2 [55.0, 67.0]"; ``form`` is the format of each of the three."""
    low, high = interval
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


@dataclass(frozen=True)
class Table:
    """Rows under a header.

    Attributes:
        header: (columns,) names of the columns; rows: each has as many cells.
        caption: what stands below, on one line.
        notes: further lines below the caption.
        legend: a word of the table -> what it means.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    notes: Sequence[str] = ()
    legend: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(
                    f"row {place} has {len(row)} cells, expected {len(self.header)}: {', '.join(map(str, row))}"
                )

    def render(self, form: str) -> str:
        """The table alone, see `render`."""
        return render([self], form)

    def markdown(self) -> str:
        """The table, an empty line, caption, notes and legend."""
        header, *rows = [f"| {' | '.join(escape_cell(str(cell)) for cell in row)} |" for row in self._lines()]
        rule = f"|{'|'.join([' --- '] * len(self.header))}|"
        below = [escape_markdown(text) for text in (self.caption, *self.notes)]
        legend = [f"\n{legend_text(self.legend)}"] if self.legend else [""]
        return "\n".join([header, rule, *rows, "", *below, *legend])

    def latex(self) -> str:
        """A ``table`` environment with the caption above, notes and legend below."""
        header, *rows = [" & ".join(escape_latex(str(cell)) for cell in row) + r" \\" for row in self._lines()]
        legend = "; ".join(f"{word}: {text.rstrip('.')}" for word, text in self.legend.items())
        below = [*self.notes, *([f"{legend}."] if legend else [])]
        return "\n".join(
            [
                r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(self.caption)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
                r"\hline", header, r"\hline", *rows, r"\hline", r"\end{tabular}",
                *(rf"\par\footnotesize {escape_latex(text)}" for text in below), r"\end{table}", "",
            ]
        )  # fmt: skip

    def csv(self) -> str:
        """Header and rows, numbers as they are; a number with an interval is three columns."""
        output = io.StringIO()
        csv.writer(output, lineterminator="\n").writerows(zip(*self._columns(), strict=True))
        return output.getvalue()

    def content(self) -> dict[str, Any]:
        """The table as JSON holds it: its rows as objects by column; a number with an interval is an object too."""
        names = [name.removesuffix(INTERVAL) for name in self.header]
        return {
            "rows": [dict(zip(names, map(_json_value, row), strict=True)) for row in self.rows],
            "caption": self.caption,
            "notes": list(self.notes),
            "legend": dict(self.legend),
        }

    def print(self) -> None:
        """Shows the table on the terminal, or `TERMINAL_WIDTH` characters wide where the output is none."""
        from rich.console import Console
        from rich.table import Column
        from rich.table import Table as RichTable
        from rich.text import Text  # a text is shown as it is; a string would be read as rich markup

        table = RichTable(*(Column(Text(plain(name))) for name in self.header))
        for row in self.rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        console = Console()
        console = console if console.is_terminal else Console(width=TERMINAL_WIDTH)
        console.print(table)
        for text in filter(None, (self.caption, *self.notes)):
            console.print(Text(plain(text), style="table.caption"))
        legend = RichTable.grid(padding=(0, 2, 0, 0))
        for word, text in self.legend.items():
            legend.add_row(Text(plain(word), style="bold"), Text(plain(text), style="dim"))
        if self.legend:
            console.print(legend)

    def _lines(self) -> list[Sequence[Cell]]:
        return [self.header, *self.rows]

    def _columns(self) -> list[list[Any]]:
        """The columns of the CSV file, each with its name first."""
        found: list[list[Any]] = []
        for place, name in enumerate(self.header):
            cells = [row[place] for row in self.rows]
            numbers = [cell if isinstance(cell, Number) else None for cell in cells]
            bare = name.removesuffix(INTERVAL)
            found.append([bare, *("" if cell in NOTHING else _bare(cell) for cell in cells)])
            if any(one and one.interval for one in numbers):
                for end, which in enumerate(("low", "high")):
                    ends = [_round(one.interval[end]) if one and one.interval else "" for one in numbers]
                    found.append([f"{bare} {which}", *ends])
            if any(one and one.note for one in numbers):
                found.append([f"{bare} note", *(one.note if one else "" for one in numbers)])
        return found


def legend_text(legend: Mapping[str, str]) -> str:
    """A legend as a list in Markdown."""
    lines = [f"- **{escape_markdown(word)}**: {escape_markdown(text)}" for word, text in legend.items()]
    return "\n".join([*lines, ""])


def render(tables: Sequence[Table], form: str) -> str:
    """Tables as text in one of `FORMATS` but the terminal's, one after another; as JSON a list of them.

    Raises:
        ConfigError: the format is unknown.
    """
    if form == "json":
        return json.dumps([table.content() for table in tables], indent=2, ensure_ascii=False) + "\n"
    writers = {"md": Table.markdown, "latex": Table.latex, "csv": Table.csv}
    if form not in writers:
        raise ConfigError(f"format={form!r}, expected one of {', '.join(FORMATS[1:])}")
    return "\n".join(writers[form](table) for table in tables)


def print_tables(tables: Sequence[Table], form: str) -> None:
    """Tables on the output, in one of `FORMATS`.

    Raises:
        ConfigError: the format is unknown.
    """
    if form == "terminal":
        for table in tables:
            table.print()
    else:
        show(render(tables, form).removesuffix("\n"))


def _bare(cell: Cell) -> Any:
    return _round(cell.value) if isinstance(cell, Number) else cell


def _round(value: float) -> float:
    return round(value, 6)


def _json_value(cell: Cell) -> Any:
    if cell in NOTHING:
        return None
    if not isinstance(cell, Number) or (cell.interval is None and not cell.note):
        return _bare(cell)
    value: dict[str, Any] = {"value": _round(cell.value)}
    if cell.interval is not None:
        value |= dict(zip(("low", "high"), map(_round, cell.interval), strict=True))
    return value | ({"note": cell.note} if cell.note else {})


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


def show_beside(text: str, form: str) -> None:
    """Shows what is said beside tables of a form: on the errors where the output is for programs."""
    show(text, error=form in FOR_PROGRAMS)

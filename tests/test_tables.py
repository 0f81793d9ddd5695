"""One table in five formats, and names that a format would read as markup."""

import csv
import json

import pytest

from recrl.errors import ConfigError
from recrl.tables import Number, Table, escape_latex, print_tables, render, with_interval

TABLE = Table(
    ("agent", "success % [95% CI]", "steps"),
    [
        ("rule", Number(1.0, (0.5, 2.0)), 3),
        ("a_b", "-", ""),
        ("c", Number(4.25, note="raw 5"), Number(1.5, form=".2f")),
    ],
    "50% of goals.",
    ("note",),
    {"success": "all that was asked"},
)
FOREIGN = "[red]|*x* `y` <b> [a](b) :smile: \\ ~^&%$#_{}"


def test_intervals() -> None:
    assert with_interval(61.24, (55.0, 67.0)) == "61.2 [55.0, 67.0]"
    assert str(Number(0.5, (-1, 2), "+.3f", "x")) == "+0.500 [-1.000, +2.000] (x)"


def test_every_format_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert TABLE.render("md") == (
        "| agent | success % [95% CI] | steps |\n| --- | --- | --- |\n| rule | 1.0 [0.5, 2.0] | 3 |\n| a_b | - |  |\n"
        "| c | 4.2 (raw 5) | 1.50 |\n\n50% of goals.\nnote\n\n- **success**: all that was asked\n"
    )
    assert TABLE.render("latex").splitlines() == [
        r"\begin{table}", r"\centering", r"\caption{50\% of goals.}", r"\begin{tabular}{lrr}", r"\hline",
        r"agent & success \% [95\% CI] & steps \\", r"\hline", r"rule & 1.0 [0.5, 2.0] & 3 \\", r"a\_b & - &  \\",
        r"c & 4.2 (raw 5) & 1.50 \\", r"\hline", r"\end{tabular}", r"\par\footnotesize note",
        r"\par\footnotesize success: all that was asked.", r"\end{table}",
    ]  # fmt: skip
    print_tables([TABLE], "terminal")
    shown = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in shown[-3:]] == ["50% of goals.", "note", "success  all that was asked"]


def test_programs_get_numbers_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert TABLE.render("csv") == (
        "agent,success %,success % low,success % high,success % note,steps\n"
        "rule,1.0,0.5,2.0,,3\na_b,,,,,\nc,4.25,,,raw 5,1.5\n"
    )
    print_tables([TABLE, TABLE], "json")
    [table, other] = json.loads(capsys.readouterr().out)
    assert table == other == {
        "rows": [
            {"agent": "rule", "success %": {"value": 1.0, "low": 0.5, "high": 2.0}, "steps": 3},
            {"agent": "a_b", "success %": None, "steps": None},
            {"agent": "c", "success %": {"value": 4.25, "note": "raw 5"}, "steps": 1.5},
        ],
        "caption": "50% of goals.",
        "notes": ["note"],
        "legend": {"success": "all that was asked"},
    }  # fmt: skip


def test_a_folder_whose_name_looks_like_markup_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Table(("agent",), [("runs/dpo[seed1]",)], "of runs/dpo[seed1]").print()
    assert capsys.readouterr().out.count("runs/dpo[seed1]") == 2


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="format='html', expected one of md, latex, csv, json"):
        render([TABLE], "html")


def test_foreign_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("name", FOREIGN), [(FOREIGN, "1")], FOREIGN)
    table.print()
    shown = capsys.readouterr().out
    assert shown.count(FOREIGN) == 3
    header, _, row, _, caption, _ = table.markdown().split("\n")
    cell = r"[red]\|\*x\* \`y\` \<b> [a\](b) :smile: \\ ~^&%$#_{}"
    assert (header, row, caption) == (f"| name | {cell} |", f"| {cell} | 1 |", cell.replace(r"\|", "|"))
    assert list(csv.reader(table.csv().splitlines())) == [["name", FOREIGN], [FOREIGN, "1"]]
    assert escape_latex(r"\~^&%$#_{}") == (r"\textbackslash{}\textasciitilde{}\textasciicircum{}\&\%\$\#\_\{\}")


def test_a_name_of_several_lines_stays_in_its_cell() -> None:
    assert "| a b | 1 |" in Table(("name", "n"), [("a\nb", "1")], "").markdown()


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 has 1 cells, expected 2: b"):
        Table(("name", "n"), [("a", "1"), ("b",)], "")

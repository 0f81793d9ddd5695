"""One table in four formats, and names that a format would read as markup."""

import csv

import pytest

from recrl.errors import ConfigError
from recrl.tables import Table, escape_latex, with_interval

TABLE = Table(("agent", "success % [95% CI]"), [("rule", "1.0 [0.5, 2.0]"), ("a_b", "-")], "50% of goals.", ("note",))
FOREIGN = "[red]|*x* `y` <b> [a](b) :smile: \\ ~^&%$#_{}"


def test_intervals() -> None:
    assert with_interval(61.24, (55.0, 67.0)) == "61.2 [55.0, 67.0]"
    assert with_interval(0.5, (-1, 2), "+.3f") == "+0.500 [-1.000, +2.000]"


def test_every_format() -> None:
    assert TABLE.render("md") == (
        "| agent | success % [95% CI] |\n| --- | --- |\n| rule | 1.0 [0.5, 2.0] |\n| a_b | - |\n\n50% of goals.\nnote\n"
    )
    assert TABLE.render("csv") == 'agent,success % [95% CI]\nrule,"1.0 [0.5, 2.0]"\na_b,-\n'
    assert TABLE.render("latex").splitlines() == [
        r"\begin{table}", r"\centering", r"\caption{50\% of goals.}", r"\begin{tabular}{lr}", r"\hline",
        r"agent & success \% [95\% CI] \\", r"\hline", r"rule & 1.0 [0.5, 2.0] \\", r"a\_b & - \\", r"\hline",
        r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="format='html', expected one of md, latex, csv"):
        TABLE.render("html")


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

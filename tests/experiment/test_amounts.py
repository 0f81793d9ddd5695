"""Growth over the amount of data: which arms make it, where the full amount stands, and over which seeds."""

from pathlib import Path

import pytest
from experiment_results import found, wins

from recrl.experiment.amounts import UNITS, draw_growth, find_growth, growth_table
from recrl.experiment.arms import VARIED, numbered, place_of
from recrl.experiment.report import Report, write_report
from recrl.experiment.rows import Found, comparable

FOUND = [
    found("matching", wins(6), steps=4),
    found("rule", wins(2), steps=3),
    found("reading-imitation", wins(9), seed=0, kept=400),
    found("reading-imitation", wins(3), seed=1, kept=400),
    found("efficiency-1200", wins(10), seed=0, kept=1200),
    found("efficiency-25", wins(4), seed=0, kept=25),
]
PRODUCTS = [found("products-50", wins(8), seed=0), found("products-25", wins(4), seed=0)]


def percent(count: int) -> str:
    return f"{100 * count / 12:.1f}"


def test_every_family_of_numbered_arms_has_a_unit() -> None:
    assert set(UNITS) == set(VARIED)
    assert numbered("efficiency-25") == ("efficiency", 25)
    assert numbered("efficiency-0") is numbered("ppo-2") is numbered("efficiency") is None


def test_the_full_amount_stands_among_trajectories_by_its_number_and_after_the_products() -> None:
    [trajectories, products] = find_growth(comparable([*FOUND, *PRODUCTS]))
    rows = growth_table(trajectories).rows
    assert [row[0] for row in rows] == ["25", "400", "1,200"]
    assert [str(row[2]).split()[0] for row in rows] == [percent(4), percent(9), percent(10)]
    rows = growth_table(products).rows
    assert [row[0] for row in rows] == ["25", "50", "all"]
    assert trajectories.rules == products.rules == {"15 steps": 50.0}


def test_the_full_amount_is_the_mean_over_the_seeds_of_the_others() -> None:
    [grown] = find_growth(comparable([*FOUND, found("efficiency-25", wins(6), seed=1, kept=25)]))
    assert [row[1] for row in growth_table(grown).rows] == [2, 2, 1]
    assert grown.columns["15 steps"]["400"].success_rate == pytest.approx(50.0)
    assert grown.columns["15 steps"]["25"].success_rate == pytest.approx(100 * 5 / 12)


@pytest.mark.parametrize("alone", [FOUND[:4], [FOUND[4]], []])
def test_one_amount_is_no_growth(alone: list[Found]) -> None:
    assert find_growth(comparable(alone)) == []


def test_a_wording_that_lacks_an_amount_leaves_it_out(tmp_path: Path) -> None:
    reworded = found("efficiency-25", wins(5), seed=0, kept=25, wording="reworded")
    [grown] = find_growth(comparable([*FOUND, reworded]))
    table = growth_table(grown)
    assert table.header == ("trajectories", "seeds", "15 steps", "15 steps, reworded")
    assert [bool(row[3]) for row in table.rows] == [True, False, False]
    draw_growth(grown, tmp_path / "a" / "b.png")
    assert (tmp_path / "a" / "b.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_shows_it(tmp_path: Path) -> None:
    write_report(Report(FOUND, (), {}, ()), tmp_path, pictures="here")
    page = (tmp_path / "results.md").read_text()
    assert "### How many trajectories, embedded-unseen\n\n![How many trajectories](here/efficiency_" in page
    assert (tmp_path / "here" / "efficiency_embedded-unseen.png").exists()


def test_variants_stand_in_the_order_of_their_list_and_of_their_numbers() -> None:
    names = [
        "products-100",
        "products-25",
        "efficiency-1200",
        "efficiency-800",
        "ablation-tuned-encoder",
        "ppo",
        "rule",
    ]
    names += ["ablation-without-notes"]
    assert sorted(names, key=place_of) == [
        "rule", "ppo", "ablation-without-notes", "ablation-tuned-encoder", "efficiency-800", "efficiency-1200",
        "products-25", "products-100",
    ]  # fmt: skip

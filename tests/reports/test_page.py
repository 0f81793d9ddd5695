"""The page without a browser: what it holds, that nothing in it runs but its own script, and charts."""

import base64
import hashlib
import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from recrl.cli import main
from recrl.evaluation.measure import evaluate_ceiling
from recrl.evaluation.results import load_result
from recrl.files import write_json
from recrl.reports.charts import Line, interval_bar, line_chart, number, stacked_bar, ticks
from recrl.reports.config import ReportConfig
from recrl.reports.finding import Training, find_run
from recrl.reports.health import GAUGES, gauges_of
from recrl.reports.making import make_report
from recrl.reports.naming import comparable_results, over_seeds, spoken, viewing_order
from recrl.reports.page import json_for_html
from recrl.reports.played import Played, play_again
from recrl.reports.sections import fingerprints, headline, results_section
from recrl.reports.training_sections import MOST_CHARTS, curves_section, data_section, health_section
from recrl.reports.viewer_data import viewer_data
from recrl.training.ppo.metrics import METRICS
from reports_shop import HOSTILE, Shop

LOG = [
    {"update": number, "dev/success": 50.0 + number, "policy/kl_old": 0.1, "value/explained_variance": None}
    for number in range(1, 4)
]


class Elements(HTMLParser):
    """Names and attributes of all elements, and the text in scripts by their type."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self._is_open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._is_open = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._is_open = False

    def handle_data(self, data: str) -> None:
        if self._is_open:
            kind = self.found[-1][1].get("type")
            self.scripts[kind] = self.scripts.get(kind, "") + data


@pytest.fixture(scope="module")
def page(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the shop's run and of a training log beside it."""
    output = tmp_path_factory.mktemp("page") / "<i>report.html"
    log = shop.run / "ppo" / "training_metrics.json"
    write_json(log, {"method": "ppo", "best_update": 0, "log_history": LOG, "num_environment_steps": 64})
    made = make_report(ReportConfig(sources=(str(shop.run),), catalog=str(shop.folder), output=str(output)))
    return made.read_text(encoding="utf-8")


def test_nothing_in_the_page_runs_but_its_own_script(page: str) -> None:
    elements = Elements(page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 2
    assert not {"img", "iframe", "object", "embed", "form", "b", "i"} & set(tags)
    for tag, attributes in elements.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert not re.match(r"\s*(javascript|https?):", attributes.get("href") or attributes.get("src") or "")
    [policy] = [at["content"] for tag, at in elements.found if at.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(elements.scripts[None].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_texts_come_through_as_they_are(page: str, shop: Shop) -> None:
    data = json.loads(Elements(page).scripts["application/json"])
    assert sorted(data["policies"]) == ["random", "reader"]
    assert len(data["episodes"]) == 2 * len(load_result(shop.result("random")).episodes)
    said = json.dumps(data, ensure_ascii=False)
    for text in HOSTILE:
        assert json.dumps(text, ensure_ascii=False)[1:-1].rstrip() in said or text.strip() in said
    for character in "<>&\u2028":
        assert character not in Elements(page).scripts["application/json"]


def test_the_viewer_s_data_is_the_episodes(page: str, shop: Shop) -> None:
    data = json.loads(Elements(page).scripts["application/json"])
    place = data["policies"].index("random")
    records = {record.goal_index: record for record in load_result(shop.result("random")).episodes}
    for episode in data["episodes"]:
        if episode["p"] != place:
            continue
        record = records[episode["g"]]
        assert record.actions is not None
        assert [data["actions"][step[2]][step[3]] for step in episode["steps"]] == list(record.actions)
        assert all(len(step[4]) == len(data["actions"][step[2]]) for step in episode["steps"])
        assert ("receipt" in episode) == (record.bought_asin is not None)
        assert (episode["k"] == "success") == record.success


def test_the_page_names_what_stands_behind_it(page: str, shop: Shop) -> None:
    titles = ("Results", "Why episodes failed", "Training health", "Learning curves", "Data efficiency", "Episodes")
    for text in (*titles, "Fingerprints", shop.catalog.sha256[:12], "64 environment steps"):
        assert text in page


def test_damaged_files_and_missing_episodes_are_said(shop: Shop, tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    run.mkdir()
    old = json.loads((Path(__file__).parent.parent / "evaluation" / "result_version_1.json").read_text())
    write_json(run / "old.json", old)
    (run / "broken.json").write_text("{")
    main(["report", str(run)])
    assert f"the report is {run / 'report.html'}" in capsys.readouterr().out.replace("\n", "")
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "broken.json cannot be read" in text
    assert "does not hold what was done" in text
    assert "No episodes" in text


def test_a_uniform_comparison_shows_paired_differences(shop: Shop, tmp_path: Path) -> None:
    flags = ["--catalog", str(shop.folder), "--num_episodes", "24", "--runs", "1", "--no_plots", "--split", "all"]
    for allocation in ("uniform", "thompson"):
        flags += ["--allocation", allocation, "--output_dir", str(tmp_path / allocation)]
        main(["compare", "--policies", "rule", "reader", *flags])
        page = (tmp_path / allocation / "report.html").read_text(encoding="utf-8")
        assert ("Paired differences to rule, on the same goals" in page) == (allocation == "uniform")
        assert ("difference</dt>" in page) == (allocation == "uniform")
        assert ("Episodes were allotted while outcomes came in" in page) == (allocation == "thompson")


def test_a_comparison_without_matplotlib_has_its_page_all_the_same(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as after `pip install recrl`
    flags = ["--catalog", str(shop.folder), "--num_episodes", "4", "--runs", "1", "--split", "all"]
    main(["compare", "--policies", "rule", "random", "--output_dir", str(tmp_path / "run"), *flags])
    said = capsys.readouterr().err
    assert "no pictures are drawn beside the report: `pip install matplotlib`" in said
    assert (tmp_path / "run" / "report.html").exists()


def test_a_comparison_ends_with_its_page(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--catalog", str(shop.folder), "--num_episodes", "20", "--runs", "1", "--no_plots"]
    main(["compare", "--policies", "rule", "random", "--split", "train", "--output_dir", str(tmp_path / "run"), *flags])
    assert f"the report is {tmp_path / 'run' / 'report.html'}; open it" in capsys.readouterr().err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "run 1: probability of being the best" in page
    assert "what was done is not recorded here" in page
    find_run(tmp_path / "run")
    main(["verify", str(tmp_path / "run")])  # the page is no part of what is sealed


def test_a_value_is_shown_where_the_policy_has_learned_it(shop: Shop) -> None:
    result = load_result(shop.result("random"))
    [episode] = play_again(result, shop.catalog, result.episodes[:1])
    steps = tuple(replace(step, value=0.25) for step in episode.steps)
    data = viewer_data({"random": [Played(replace(episode, steps=steps), None, None)]})
    assert [step[5] for step in data["episodes"][0]["steps"]] == [0.25] * len(steps)


def test_more_episodes_than_asked_for_are_left_out_and_counted(shop: Shop, tmp_path: Path) -> None:
    config = ReportConfig(
        sources=(str(shop.run),), catalog=str(shop.folder), output=str(tmp_path / "page.html"), most_episodes=5
    )
    text = make_report(config).read_text(encoding="utf-8")
    assert "91 of 96 episodes are left out, to keep the page small (" in text
    assert "5 episodes, page by page" in text


def test_results_stand_together_where_their_goals_do(shop: Shop) -> None:
    result = load_result(shop.result("random"))
    assert [list(table) for table in comparable_results({"a": result, "b": result})] == [["a", "b"]]


@pytest.fixture(scope="module")
def experiment(shop: Shop) -> dict[str, Any]:
    """Results as an experiment's folders name them: rules and two seeds of an agent, on test and on dev goals."""
    rule = replace(load_result(shop.result("random")), split="test", protocol="shop")
    agent = replace(load_result(shop.result("reader")), split="test", protocol="shop", policy="runs/ppo",
                    trained_on_this_catalog=True)  # fmt: skip
    ceiling = evaluate_ceiling(shop.catalog, split="all", num_hits=50)
    unseen = {"protocol": "shop-unseen"}
    longer = {"max_steps": 100}
    return {
        "goal/rules/test_15/random": rule,
        "goal/seed_0/test_15/ppo": agent,
        "product/rules/test_15/random": replace(rule, **unseen),
        **{
            f"product/seed_{seed}/{where}": replace(agent, **unseen, seed=seed, **changed)
            for seed in (0, 1)
            for where, changed in (
                ("test_15/ppo", {}), ("test_100/ppo", longer), ("round_1/dev", {"split": "dev", "max_steps": 7}),
            )
        },
        "50-hit ceiling": replace(ceiling, split="test", **unseen),
    }  # fmt: skip


def test_an_experiment_s_tables_stand_in_order_without_its_folders(experiment: dict[str, Any]) -> None:
    said = [grid.title for grid in results_section(over_seeds(experiment)).grids]
    assert said[:3] == [f"{one} steps" for one in (
        "shop-unseen, test split, 15", "shop-unseen, test split, 100", "shop, test split, 15",
    )]  # fmt: skip
    first = comparable_results(over_seeds(experiment))[0]
    assert list(first) == ["random", "ppo", "50-hit ceiling"]
    assert first["ppo"].success_by_seed is not None
    assert "dev split" in said[-1]


def test_the_headline_is_of_test_goals_and_of_the_table_s_rule(experiment: dict[str, Any]) -> None:
    said = headline(over_seeds(experiment))
    assert said[0].startswith("ppo: success ")
    assert "against random, the strongest rule of equal steps" in said[0]
    assert "shop-unseen, 15 steps" in said[0]
    assert not any("dev" in line for line in said)


def test_what_tells_most_is_shown_first(experiment: dict[str, Any]) -> None:
    order = viewing_order(experiment)
    assert order[:2] == ["product/seed_0/test_15/ppo", "product/rules/test_15/random"]
    assert [name.rpartition("/")[2] for name in order[-2:]] == ["dev", "dev"]
    assert set(order) == {name for name, one in experiment.items() if one.max_steps is not None}
    every = list(experiment.values())
    called = [spoken(name, experiment[name], every) for name in order]
    assert called[0] == "ppo (seed 0, shop-unseen, 15 steps)"
    assert "dev (seed 1, shop-unseen, 7 steps, dev split)" in called
    assert len(set(called)) == len(called)
    assert spoken("DPO", every[0], every) == "DPO"


def test_many_results_have_their_fingerprints_folded_up(experiment: dict[str, Any]) -> None:
    one = replace(next(iter(experiment.values())), versions={"recrl": "1"})
    folded, few = fingerprints({str(number): one for number in range(20)}), fingerprints({"a": one})
    assert folded is not None
    assert few is not None
    assert [folded.is_open, few.is_open] == [False, True]
    assert folded.grids[0].notes == few.grids[0].notes == ["Made with recrl 1."]  # once, not in every row


def test_healthy_ranges_are_of_numbers_that_are_logged() -> None:
    assert {gauge.key for gauge in GAUGES["ppo"]} <= METRICS.keys()
    [kl] = [one for one in gauges_of("ppo", {"trainer": {"target_kl": 0.02}}) if one.key == "policy/kl_old"]
    assert kl.band == (0.0, pytest.approx(0.03))
    assert kl.verdict(0.02) == ""
    assert "too large" in kl.verdict(0.04)


def test_a_training_log_becomes_curves_and_gauges(tmp_path: Path) -> None:
    training = Training("ppo", tmp_path, {"method": "ppo", "log_history": LOG, "start_on_dev": {"dev/success": 40}}, {})
    [curve] = curves_section([training]).charts
    assert "from 40 to 53" in curve.picture
    [gauge] = health_section([training]).charts  # the one that was never a number is left out
    assert gauge.is_alarm
    assert data_section([training], {}, []).grids[0].rows[0][0] == "ppo"


def test_seeds_share_a_chart_and_many_charts_are_folded_up(tmp_path: Path) -> None:
    log = [{"update": place, **dict.fromkeys([gauge.key for gauge in GAUGES["ppo"]], 0.01 * place)} for place in (1, 2)]
    metrics = {"method": "ppo", "best_update": 0, "log_history": log}
    runs = [Training(f"product/seed_{seed}/ppo", tmp_path, metrics, {}) for seed in (0, 1)]
    section = health_section(runs)
    assert [len(section.charts), len(section.folds)] == [len(GAUGES["ppo"]), 0]
    assert section.charts[0].title.startswith("product/ppo: ")
    assert section.charts[0].legend == [("seed 0", 0), ("seed 1", 1)]
    many = [replace(one, name=one.name.replace("ppo", name)) for one in runs for name in ("ppo", "own_ppo")]
    folded = health_section(many)
    assert 2 * len(GAUGES["ppo"]) > MOST_CHARTS
    assert [fold.title for fold in folded.folds] == ["product/ppo", "product/own ppo"]
    assert [fold.is_open for fold in folded.folds] == [False, True]
    assert folded.folds[0].is_alarm
    assert "outside of the healthy range: explained variance" in folded.folds[0].summary.replace("ratio of", "")


def test_rows_of_an_experiment_show_data_efficiency() -> None:
    rows = [
        {"protocol": "p", "steps": 15, "arm": "imitation", "kept_trajectories": kept, "played_episodes": 2 * kept,
         "success_rate": success}
        for kept, success in ((100, 40.0), (400, 60.0))
    ]  # fmt: skip
    first, second = data_section([], {}, rows).charts
    assert "from 40 to 60" in first.picture
    assert "episodes played" in second.title


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 100, False, [0, 50, 100]),
        (0, 1, False, [0, 0.5, 1]),
        (3, 3, False, [2.6, 2.8, 3.0, 3.2, 3.4]),
        (1, 4, True, [1, 2, 3, 4]),
        (-0.3, 0.2, False, [-0.4, -0.2, 0, 0.2]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert ticks(low, high, whole=whole) == pytest.approx(expected)


def test_charts_say_their_numbers_and_escape_their_names() -> None:
    chart = line_chart([Line("<b>", [(0, 1.0), (1, math.nan), (2, 3.0)])], title="<i>", x_label="&", band=(None, 2.0))
    assert "&lt;b&gt;: from 1 to 3" in chart
    assert not {"<b>", "<i>", "nan"} & {chart[at : at + 3] for at in range(len(chart))}
    assert line_chart([Line("none", [])], title="", x_label="") == ""
    assert 'cx="100.0"' in interval_bar(50, (40, 60))
    assert "&lt;b&gt;: 1 of 2" in stacked_bar([("<b>", 1)], 2)
    assert [number(value) for value in (0, 0.00001, 0.12345, 12, 54321)] == ["0", "1e-05", "0.123", "12", "54 321"]


def test_json_cannot_end_its_element() -> None:
    text = json_for_html({"</script>": "<!--\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": "<!--\u2028&"}

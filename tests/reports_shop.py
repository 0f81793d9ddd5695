"""A small shop whose texts try everything, and results and trajectories of agents that shopped there."""

from dataclasses import dataclass
from pathlib import Path

from recrl.evaluation.measure import evaluate
from recrl.evaluation.result_types import Result
from recrl.evaluation.results import save_result
from recrl.policies.loading import load_policy
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, load_catalog
from small_catalog import item, options, plain_nouns, write_catalog

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    '" onmouseover="window.hacked = 4" x="',
    "{{ 7 * 7 }} {% raw %} ${window.hacked = 5}",
    "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe",
    "<!-- --> ]]> &lt;b&gt; &amp; \u2028 end",
    "[bold red]markup[/bold red] [/] [link=http://x]",
)


@dataclass(frozen=True)
class Shop:
    """The built catalogue's folder, the catalogue, and result files in a folder of a run."""

    folder: Path
    catalog: Catalog
    run: Path

    def result(self, name: str) -> Path:
        """The result file of a policy."""
        return self.run / "evaluation" / f"{name}.json"


def make_shop(folder: Path) -> Shop:
    """Twenty-four hats with two colours each; titles, texts and option values hold what pages and terminals obey."""
    items = [
        item(
            f"B0HAT{number:05d}",
            f"Hat{number} of wool {HOSTILE[number % len(HOSTILE)]}",
            full_description=f"Description {HOSTILE[(number + 1) % len(HOSTILE)]}",
            small_description=[f"Feature {HOSTILE[(number + 2) % len(HOSTILE)]}"],
            customization_options=options(color=["red", "<b>blue</b>"]),
        )
        for number in range(24)
    ]
    attributes = {
        record["asin"]: {
            "attributes": ["wool"],
            "instruction": f"i want hat{number} {HOSTILE[number % len(HOSTILE)]}",
            "instruction_attributes": ["wool"],
        }
        for number, record in enumerate(items)
    }
    raw = write_catalog(folder / "raw", items=items, attributes=attributes, human={})
    built = build_catalog(raw, folder / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"})
    catalog = load_catalog(built)
    run = folder / "run"
    for name in ("random", "reader"):
        save_result(run / "evaluation" / f"{name}.json", played(catalog, name))
    return Shop(built, catalog, run)


def played(catalog: Catalog, policy: str, **settings: object) -> Result:
    """A result on all goals, with why episodes failed."""
    return evaluate(load_policy(policy), catalog, split="all", explain_failures=True, **settings)  # type: ignore[arg-type]

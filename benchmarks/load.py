"""Many environments and processes on one catalogue, and pages, titles and lists of options of odd sizes: seconds and
memory. Memory is to be flat after a warm-up, and no page slower than its size explains.

python benchmarks/load.py [--steps 200000] [--searches 1000000]
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

NUM_ENVS, NUM_PROCESSES = 64, 8
WORDS = "red blue green soft warm light dark small large cotton shirt shoe lamp table hat scarf blanket".split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000, help="Of 64 environments together.")
    parser.add_argument("--searches", type=int, default=1_000_000, help="Of different texts.")
    given = parser.parse_args()
    shown = [("environments", steps(given.steps)), ("searches", searches(given.searches))]
    for what, megabytes in shown:
        print(f"{what}: memory after each quarter: {', '.join(f'{one:.0f}' for one in megabytes)} MB")
    print(f"{NUM_PROCESSES} processes: {processes():.0f} MB each of their own")
    for what, count, seconds in pages():
        print(f"{what} {count}: {1000 * seconds:.1f} ms, {1e6 * seconds / count:.2f} us each")


def resident() -> float:
    """Megabytes of memory that this process has to itself."""
    return psutil.Process().memory_full_info().uss / 1e6


def steps(number: int) -> list[float]:
    """Megabytes after each quarter of the steps that environments on one catalogue take at random."""
    from recrl.webshop.catalog import load_catalog
    from recrl.webshop.env import WebShopEnv

    catalog, rng = load_catalog(), random.Random(0)
    envs = [WebShopEnv(catalog=catalog) for _ in range(NUM_ENVS)]
    infos: list[dict[str, Any]] = [env.reset(seed=place)[1] for place, env in enumerate(envs)]
    taken = []
    for done in range(1, number // NUM_ENVS + 1):
        for place, env in enumerate(envs):
            action = rng.choice(infos[place]["valid_actions"])
            if action.startswith("search["):
                action = f"search[{' '.join(rng.choices(WORDS, k=3))}]"
            *_, terminated, truncated, infos[place] = env.step(action)
            if terminated or truncated:
                infos[place] = env.reset()[1]
        if done % (number // NUM_ENVS // 4) == 0:
            taken.append(resident())
    return taken


def searches(number: int) -> list[float]:
    """Megabytes after each quarter of the searches, of which none is like another; some are long."""
    from recrl.webshop.catalog import load_catalog

    catalog, rng, taken = load_catalog(), random.Random(0), []
    for done in range(1, number + 1):
        text = f"{done} {' '.join(rng.choices(WORDS, k=3))}"
        catalog.search(text * 500 if done % 1000 == 0 else text)
        if done % (number // 4) == 0:
            taken.append(resident())
    return taken


def processes() -> float:
    """Megabytes that each of several processes has of its own, with environments on one catalogue."""
    with get_context("spawn").Pool(NUM_PROCESSES) as pool:
        return sum(pool.map(_in_process, range(NUM_PROCESSES), chunksize=1)) / NUM_PROCESSES


def _in_process(number: int) -> float:
    steps(20 * NUM_ENVS)
    return resident()


def pages() -> Iterator[tuple[str, int, float]]:
    """What is odd, how much of it, and the seconds of one page with it."""
    for what, counts in (("options", (10, 300, 1000, 10_000)), ("characters of a title", (100, 10_000, 100_000))):
        for count in counts:
            yield what, count, _page(**{"options" if what == "options" else "title": count})


def _page(options: int = 3, title: int = 20) -> float:
    """The least seconds of a search and a product's page, of three."""
    from recrl.webshop.building import build_catalog
    from recrl.webshop.env import WebShopEnv

    name = ("lamp " * (title // 5 + 1))[:title]
    chosen = {"color": [f"shade {number}" for number in range(options)]}
    with tempfile.TemporaryDirectory() as folder:
        raw = write_raw(Path(folder) / "raw", name, chosen)
        built = build_catalog(raw, Path(folder) / "built", nouns=lambda titles: [("lamp",)] * len(titles), tagger={})
        env = WebShopEnv(catalog=str(built), split="all")
        taken = []
        for _ in range(3):
            env.reset(seed=0, options={"goal_index": 0})
            started = time.process_time()
            *_, info = env.step("search[lamp]")
            *_, info = env.step("click[b000000001]")
            env.step(info["valid_actions"][-1])
            taken.append(time.process_time() - started)
    return min(taken)


def write_raw(folder: Path, title: str, options: dict[str, list[str]]) -> Path:
    """Raw files of one product."""
    folder.mkdir()
    item = {
        "asin": "B000000001", "name": title, "category": "home", "query": "lamps", "product_category": "home",
        "full_description": "a lamp", "small_description": ["bright"], "pricing": "$10.00", "images": ["https://example.org/1.jpg"],
        "customization_options": {
            group: [{"value": value} for value in values] for group, values in options.items()
        },
    }  # fmt: skip
    wanted = {"attributes": ["bright"], "instruction": "a bright lamp", "instruction_attributes": ["bright"]}
    for name, value in (("items_shuffle", [item]), ("items_ins_v2", {"B000000001": wanted}), ("items_human_ins", {})):
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()

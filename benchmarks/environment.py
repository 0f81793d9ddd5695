"""Measures the environment: building, opening, memory, search and steps, at several sizes.

    python benchmarks/environment.py --work_dir /tmp/recrl-benchmark --sizes 1000 10000 100000 1180000
    python benchmarks/environment.py --work_dir /tmp/recrl-benchmark --webshop_dir W --recordings R    # the real 1,000

Each measurement replaces the one of the same name in ``benchmarks/results.json``, and ``benchmarks/README.md`` is made
from that file. What is in the work folder already (raw files, built catalogues) is used again; a build is measured only
when it happens. Every opening, search and replay is measured in a fresh process; files are in the page cache.
"""

import argparse
import gzip
import json
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from recrl.files import write_json, write_text

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
NUM_EPISODES, NUM_QUERIES = 150, 300
PROCESSES = (1, 8)


def main() -> None:
    """Parses and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work_dir", type=Path, help="takes raw files and built catalogues; gigabytes")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="numbers of synthetic products")
    parser.add_argument("--webshop_dir", type=Path, help="the real raw files")
    parser.add_argument("--recordings", type=Path, help="the original environment's episodes on them, to be replayed")
    parser.add_argument("--machine", default=f"{psutil.cpu_count()} shared cores", help="what the numbers are named by")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child, *rest = arguments.child
        print(json.dumps(CHILDREN[child](*rest)))
        return
    if arguments.work_dir is None:
        parser.error("--work_dir is needed")
    book = _Book(arguments)
    if arguments.webshop_dir:
        _measure(book, "real 1,000", arguments.webshop_dir, arguments.work_dir / "real", arguments.recordings)
    for size in arguments.sizes:
        raw = arguments.work_dir / f"raw-{size}"
        if not raw.exists():
            _timed(["catalog", "synth", "--num_products", str(size), "--output_dir", str(raw)])
        _measure(book, f"{size:,}", raw, arguments.work_dir / f"built-{size}", None)
    page = HERE / "README.md"
    write_text(page, with_tables(page.read_text(encoding="utf-8"), json.loads(RESULTS.read_text())))


class _Book:
    """The measurements so far, kept in `RESULTS`."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.machine = f"{arguments.machine}, Python {platform.python_version()}"
        git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
        self.commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
        words = ["python benchmarks/environment.py --work_dir WORK_DIR"]  # folders are not a reader's business
        words += ["--webshop_dir WEBSHOP_FOLDER"] * bool(arguments.webshop_dir)
        words += ["--recordings RECORDINGS"] * bool(arguments.recordings)
        words += ["--sizes", *map(str, arguments.sizes)] * bool(arguments.sizes)
        self.command = " ".join(words)

    def note(self, name: str, value: float, unit: str) -> None:
        """Replaces the measurement of that name."""
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
        results = [result for result in results if result["name"] != name]
        measured = {"name": name, "value": value, "unit": unit}
        results.append(measured | {"command": self.command, "commit": self.commit, "machine": self.machine})
        write_json(RESULTS, results)
        print(f"{name}: {value:.4g} {unit}", flush=True)


def _measure(book: _Book, size: str, raw: Path, built: Path, recordings: Path | None) -> None:
    """Everything at one size."""
    book.note(f"{size}: raw files", sum(path.stat().st_size for path in raw.glob("items_*")) / 1e6, "MB")
    if not built.exists():
        seconds, peak = _timed(["catalog", "build", str(raw), "--output_dir", str(built)])
        book.note(f"{size}: build, wall time", seconds, "s")
        book.note(f"{size}: build, peak memory of all processes (Pss)", peak / 1e6, "MB")
    book.note(
        f"{size}: built folder", sum(path.stat().st_size for path in built.rglob("*") if path.is_file()) / 1e6, "MB"
    )
    episodes = built.with_name(f"{built.name}-episodes.json")
    if recordings is not None:
        with gzip.open(recordings / "episodes.jsonl.gz", "rt", encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        write_json(episodes, [[record["goal_idx"], [step["action"] for step in record["steps"]]] for record in records])
    elif not episodes.exists():
        write_json(episodes, _child("collect", built))
    opened = [_child("open", built) for _ in range(5)]
    book.note(f"{size}: products", opened[0]["products"], "products")
    book.note(f"{size}: goals", opened[0]["goals"], "goals")
    book.note(f"{size}: gym.make", statistics.median(one["make"] for one in opened), "s")
    book.note(f"{size}: goal by index, median", _child("goals", built), "us")
    book.note(f"{size}: search, median of long queries", _child("search", built), "ms")
    passes = [_child("replay", built, episodes) for _ in range(3)]
    book.note(f"{size}: steps, empty caches", statistics.median(one[0] for one in passes), "steps/s")
    book.note(f"{size}: steps, afterwards", statistics.median(one[1] for one in passes), "steps/s")
    for count in PROCESSES:
        private, proportional = _memory(built, episodes, count)
        processes = f"{count} process{'es' if count > 1 else ''}"
        book.note(f"{size}: private memory of each of {processes} (Private_Dirty)", private / 1e6, "MB")
        book.note(f"{size}: memory of {processes} together (Pss)", proportional / 1e6, "MB")


def _timed(arguments: list[str]) -> tuple[float, float]:
    """Runs a `recrl` command: seconds, and the peak of its processes' Pss in bytes, looked at every second."""
    process = psutil.Popen([sys.executable, "-m", "recrl", *arguments])
    peak, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(1.0):
            peak = max(peak, sum(_pss(each.pid) for each in [process, *_children(process)]))

    watcher = threading.Thread(target=watch)
    started = time.monotonic()
    watcher.start()
    failed = process.wait()
    seconds = time.monotonic() - started
    over.set()
    watcher.join()
    if failed:
        sys.exit(f"recrl {' '.join(arguments)} failed")
    return seconds, peak


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:  # it ended while we looked
        return []


def _pss(pid: int) -> float:
    try:
        return _smaps(pid)["Pss"]
    except (OSError, KeyError):  # it ended while we looked
        return 0.0


def _smaps(pid: int | str = "self") -> dict[str, float]:
    """The sums of /proc/PID/smaps_rollup in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: 1024.0 * int(line.split()[1]) for line in lines}


def _child_command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--child", name, *map(str, arguments)]


def _child(name: str, *arguments: object) -> Any:
    output = subprocess.run(_child_command(name, *arguments), stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output)


def _memory(built: Path, episodes: Path, count: int) -> tuple[float, float]:
    """Of so many processes at once after they replayed the episodes: the most private dirty bytes, and all Pss."""
    command = _child_command("wait", built, episodes)
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for process in running:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            sys.exit("a process did not get ready")
    found = [_smaps(process.pid) for process in running]
    for process in running:
        process.communicate()
    return max(rollup["Private_Dirty"] for rollup in found), sum(rollup["Pss"] for rollup in found)


def _env(built: str) -> Any:
    import gymnasium as gym

    import recrl  # noqa: F401  registers the environment

    return gym.make("recrl/WebShop-v0", catalog=built, split="all", max_steps=10_000)


def _open(built: str) -> dict[str, float]:
    import gymnasium as gym

    import recrl  # noqa: F401  registers the environment

    started = time.perf_counter()
    env = gym.make("recrl/WebShop-v0", catalog=built)
    make = time.perf_counter() - started
    catalog = env.unwrapped.catalog
    return {"make": make, "products": len(catalog.products), "goals": len(catalog.goals)}


def _collect(built: str) -> list[tuple[int, list[str]]]:
    """Episodes of the reader and of random walks on test goals."""
    from recrl.policies.loading import load_policy
    from recrl.rollouts.rollout import rollout
    from recrl.webshop.catalog import load_catalog

    catalog = load_catalog(built)
    goals = list(catalog.split("test"))[: NUM_EPISODES // 2]
    played = [
        episode for name in ("reader", "random") for episode in rollout(load_policy(name), catalog, goals, seed=0)
    ]
    return [(episode.goal_index, [step.action for step in episode.steps]) for episode in played]


def _queries(built: str) -> list[str]:
    from recrl.webshop.catalog import load_catalog

    goals = load_catalog(built).goals
    return [goals[index].instruction_without_price.lower() for index in range(min(NUM_QUERIES, len(goals)))]


def _median_time(calls: list[Callable[[], object]]) -> float:
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _search(built: str) -> float:
    from recrl.webshop.catalog import load_catalog

    queries, catalog = _queries(built), load_catalog(built)
    catalog.search("warm up")
    return 1e3 * _median_time([lambda words=words: catalog.search(words) for words in queries])


def _goals(built: str) -> float:
    from recrl.webshop.catalog import load_catalog

    goals = load_catalog(built).goals
    step = max(len(goals) // 1000, 1)
    return 1e6 * _median_time([lambda index=index: goals[index] for index in range(0, len(goals), step)])


def _pass(env: Any, episodes: list[tuple[int, list[str]]]) -> float:
    """Steps per second, each with observation, info and reward."""
    steps, started = 0, time.perf_counter()
    for goal_index, actions in episodes:
        env.reset(options={"goal_index": goal_index})
        for action in actions:
            _, _, terminated, truncated, info = env.step(action)
            assert info["valid_actions"] or terminated
            steps += 1
            if terminated or truncated:
                break
    return steps / (time.perf_counter() - started)


def _replay(built: str, episodes_file: str) -> tuple[float, float]:
    env, episodes = _env(built), json.loads(Path(episodes_file).read_text())
    first = _pass(env, episodes)
    return first, statistics.median(_pass(env, episodes) for _ in range(5))


def _wait(built: str, episodes_file: str) -> None:
    """Replays, says so, and stays until its input ends."""
    _pass(_env(built), json.loads(Path(episodes_file).read_text()))
    print("ready", flush=True)
    sys.stdin.read()


CHILDREN: dict[str, Callable[..., Any]] = {
    "open": _open, "collect": _collect, "search": _search, "goals": _goals, "replay": _replay, "wait": _wait,
}  # fmt: skip


def with_tables(page: str, results: list[dict[str, Any]]) -> str:
    """The page with the measurements between its marks, a row each and a column per size, and with their origin."""
    sizes = list(dict.fromkeys(result["name"].split(": ")[0] for result in results))
    rows = list(dict.fromkeys((result["name"].split(": ")[1], result["unit"]) for result in results))
    values = {result["name"]: result["value"] for result in results}
    table = ["| | " + " | ".join(sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for what, unit in rows:
        cells = [_shown(values[f"{size}: {what}"]) if f"{size}: {what}" in values else "" for size in sizes]
        table.append(f"| {what}, {unit} | " + " | ".join(cells) + " |")
    made = sorted({f"- {result['machine']}, commit {result['commit']}: `{result['command']}`" for result in results})
    for name, lines in (("table", table), ("made", made)):
        before, rest = page.split(f"<!-- {name} -->\n")
        page = (
            f"{before}<!-- {name} -->\n"
            + "\n".join(lines)
            + f"\n<!-- end of {name} -->"
            + rest.split(f"<!-- end of {name} -->")[1]
        )
    return page


def _shown(value: float) -> str:
    """Three significant digits, thousands parted."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()

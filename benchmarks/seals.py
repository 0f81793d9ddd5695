"""What sealing costs: hashing a finished folder, opening it for the first time and again, and a line of a journal.

python benchmarks/seals.py [--megabytes 90]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def seconds(work: Callable[[], object]) -> float:
    """The least of three."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=90, help="Size of the weights; MiniLM has 90.")
    megabytes = parser.parse_args().megabytes
    with tempfile.TemporaryDirectory() as name:
        os.environ["RECRL_CACHE"] = f"{name}/cache"
        from recrl.errors import CheckpointError
        from recrl.journals import Journal
        from recrl.seals import check_folder, seal_folder

        folder = Path(name) / "model"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(os.urandom(megabytes << 20))
        (folder / "config.json").write_text("{}")

        def first() -> None:
            for stamp in (Path(name) / "cache" / "verified").glob("*.json"):
                stamp.unlink()
            check_folder(folder, CheckpointError, "")

        print(f"sealing {megabytes} MB: {1000 * seconds(lambda: seal_folder(folder, 'scorer')):.0f} ms")
        print(f"opening it for the first time: {1000 * seconds(first):.0f} ms")
        print(f"opening it again: {1000 * seconds(lambda: check_folder(folder, CheckpointError, '')):.2f} ms")
        journal = Journal(Path(name) / "journal.jsonl")
        record = {"number": 0, "reward": 1.0, "row": {"text": "x" * 20_000}}
        print(f"a journal's line of 20 kB: {1000 * seconds(lambda: journal.append(record)):.2f} ms")


if __name__ == "__main__":
    main()

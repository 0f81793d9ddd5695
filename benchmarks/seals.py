"""What sealing costs: hashing a finished folder, opening it for the first time and again, a line of a journal, and the
share of a whole training run.

python benchmarks/seals.py [--megabytes 90] [--demonstrations 20]
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
    parser.add_argument("--demonstrations", type=int, default=20, help="Of the training run.")
    given = parser.parse_args()
    megabytes = given.megabytes
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
        print(share_of_training(Path(name), given.demonstrations))


def share_of_training(folder: Path, demonstrations: int) -> str:
    """Collects demonstrations and imitates them with the default encoder, once, with the default settings."""
    import recrl.seals
    from recrl.experiment.making import Place, collect, imitate
    from recrl.journals import Journal

    spent = 0.0

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal spent
            started = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                spent += time.perf_counter() - started

        return call

    for owner, name in ((recrl.seals, "write_manifest"), (recrl.seals, "read_manifest"), (Journal, "append")):
        setattr(owner, name, timed(getattr(owner, name)))
    place = Place(catalog=None, split_by="product", seed=0, encoder=None, bf16=False)
    said = []
    for what, work, settings in (
        ("collecting", collect, {"policy": "demonstrator", "num_trajectories": demonstrations}),
        ("imitation", imitate, {"demonstrations": str(folder / "collecting")}),
    ):
        spent, started = 0.0, time.perf_counter()
        work(folder / what, place, settings)
        whole = time.perf_counter() - started
        said.append(f"sealing in {what}: {spent:.2f} s of {whole:.1f} s, {spent / whole:.2%}")
    return "\n".join(said)


if __name__ == "__main__":
    main()

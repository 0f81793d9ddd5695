"""How fast scorers decide: the paper's model as it stands, the plain scorer, and the reading agent, side by side.

    OMP_NUM_THREADS=1 python benchmarks/policy.py --catalog WEBSHOP_FOLDER --output_json benchmarks/policy.json

The decisions are those of the scripted reader on test goals, 16 episodes side by side. The reference reads the whole
observation, pads the actions of a page to the longest and keeps nothing (``state_form="full"``,
``pad_attention="original"``, no action features); it decides a random sample of them, because it is slow. The plain
scorer is the default, which keeps action texts; it decides those of the first episodes. The reading agent decides all,
twice: with nothing known at its start, and as a later process does, with the encodings of the first run on the disk
(`recrl.scoring.encoding_store`). Heads are untrained, which changes no time. Rates are decisions per second of CPU
time, so that other processes on the machine count little.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recrl.episodes.decisions import Decision
from recrl.files import write_json
from recrl.policies.loading import load_policy
from recrl.policies.scorer import ScorerPolicy
from recrl.rollouts.rollout import rollout
from recrl.scoring.encoding_store import default_store
from recrl.scoring.evidence import MATCH_FEATURES
from recrl.scoring.inputs import PLAIN_FEATURES, READING_FEATURES
from recrl.scoring.model import BertForChoiceScoring
from recrl.webshop.catalog import Catalog, load_catalog

SIDE_BY_SIDE = 16
ARMS: dict[str, dict[str, Any]] = {  # fields of `recrl.scoring.config.ChoiceScoringConfig`
    "reference": {
        "state_form": "full",
        "pad_attention": "original",
        "max_state_tokens": 512,
        "action_features": [],
        "similarity": False,
    },
    "plain": {},
    "reading": {
        "state_form": "instruction",
        "pool_actions": True,
        "action_features": [*PLAIN_FEATURES, *READING_FEATURES],
        "match_features": list(MATCH_FEATURES),
        "feature_hidden_size": 64,
    },
}


def played_decisions(catalog: Catalog, split_by: str, num_goals: int | None) -> list[list[Decision]]:
    """The decisions of the reader's episodes, as `ScorerPolicy.act` gets them: one of each of 16 running episodes."""
    goals = [int(goal) for goal in catalog.split("test", split_by)][:num_goals]
    episodes = [list(episode.decisions()) for episode in rollout(load_policy("reader"), catalog, goals, seed=0)]
    rounds = []
    for start in range(0, len(episodes), SIDE_BY_SIDE):
        together = episodes[start : start + SIDE_BY_SIDE]
        for step in range(max(map(len, together))):
            rounds.append([episode[step] for episode in together if step < len(episode)])
    return rounds


def measure(policy: ScorerPolicy, rounds: Sequence[Sequence[Decision]]) -> dict[str, float]:
    """Decides all; returns how many, seconds by the clock and of CPU time, and decisions per second of the latter."""
    rngs = [np.random.default_rng(0) for _ in range(SIDE_BY_SIDE)]
    count = sum(map(len, rounds))
    clock, cpu = time.perf_counter(), time.process_time()
    for decisions in rounds:
        policy.act(decisions, rngs[: len(decisions)], greedy=True)
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    return {
        "decisions": count,
        "seconds": round(clock, 3),
        "cpu_seconds": round(cpu, 3),
        "decisions_per_cpu_second": round(count / cpu, 2),
    }


def measure_all(arguments: argparse.Namespace, cache: str) -> dict[str, dict[str, float]]:
    """Every arm; ``cache``: an empty folder."""
    rounds = played_decisions(load_catalog(arguments.catalog), arguments.split_by, arguments.num_goals)
    os.environ["RECRL_CACHE"] = cache
    each = [[decision] for decisions in rounds for decision in decisions]
    chosen = np.random.default_rng(arguments.seed).permutation(len(each))[: arguments.num_reference]
    so_far = np.cumsum([len(decisions) for decisions in rounds])
    num_rounds = int(np.searchsorted(so_far, arguments.num_plain)) + 1
    asked = {"reference": [each[row] for row in chosen], "plain": rounds[:num_rounds], "reading": rounds}
    found = {}
    for name, fields in ARMS.items():
        model, tokenizer = BertForChoiceScoring.from_encoder(
            arguments.model_name_or_path, seed=arguments.seed, **fields
        )
        reading = name == "reading"
        for run in ("reading, first run", "reading, later run") if reading else (name,):
            policy = ScorerPolicy(model, tokenizer, keep_on_disk=reading)
            found[run] = measure(policy, asked[name])
            found[run]["times_the_reference"] = round(
                found[run]["decisions_per_cpu_second"] / found["reference"]["decisions_per_cpu_second"], 2
            )
            print(f"{run:20}", found[run], flush=True)
            if (store := default_store()) is not None:
                store.flush()
    return found


def main() -> None:
    """Parses, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", help="folder with raw files, or a built catalogue; without it the embedded one")
    parser.add_argument("--split_by", default="product", help="product or goal")
    parser.add_argument("--model_name_or_path", help="encoder; without it MiniLM-L6")
    parser.add_argument("--num_goals", type=int, help="of the test goals; without it all")
    parser.add_argument("--num_reference", type=int, default=100, help="decisions of the reference, drawn from all")
    parser.add_argument("--num_plain", type=int, default=500, help="decisions of the plain scorer, about")
    parser.add_argument("--seed", type=int, default=0, help="of the draw and of the untrained heads")
    parser.add_argument("--output_json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        found = measure_all(arguments, cache)
    if arguments.output_json:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "seed": arguments.seed,
        }
        write_json(arguments.output_json, {**machine, "measurements": found})


if __name__ == "__main__":
    main()

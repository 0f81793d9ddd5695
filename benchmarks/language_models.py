"""A small language model zero-shot, after SFT on some demonstrations and after DPO, beside rules and an encoder.

    OMP_NUM_THREADS=1 python benchmarks/language_models.py --model runs/smollm2 --output_dir runs/language_models \
        --catalog WEBSHOP_FOLDER --encoder runs/quickstart/dpo --num_episodes 50

It trains on demonstrations of the embedded catalogue and plays the first test goals of embedded-unseen and, with
``--catalog``, of that catalogue. Each stage is a command of its own; what is finished is not done again, so the same
command goes on where it was stopped. At the end stand the tables, and what a decision costs: tokens, CPU seconds and
the most memory, on decisions of demonstrations.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from recrl.evaluation.results import load_result
from recrl.evaluation.tables import print_table
from recrl.files import write_json
from recrl.policies.language import LanguagePolicy
from recrl.policies.loading import RULES, load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog

MEASURED_GOALS = 10


def recrl(*words: Any) -> None:
    """Runs a command of recrl in a process of its own."""
    command = [sys.executable, "-m", "recrl", *map(str, words)]
    print(" ".join(command[2:]), flush=True)
    subprocess.run(command, check=True)


def make_models(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Trains what is not trained yet; returns the flags of each row's policy."""
    folder, budget = arguments.output_dir, ["--max_prompt_tokens", str(arguments.max_prompt_tokens)]
    rows = {"zero-shot": ["--policy", arguments.model, *budget]}
    for number in arguments.num_demonstrations:
        run = imitate("demonstrator", folder / "demonstrations", number, folder / f"sft_{number}", arguments)
        rows[f"SFT on {number}"] = ["--policy", str(run)]
    if arguments.judgement:
        least, shown = min(arguments.num_demonstrations), folder / "planner_demonstrations"
        run = imitate(f"planner:{arguments.judgement}", shown, least, folder / f"sft_planner_{least}", arguments)
        rows[f"SFT on {least} of the planner"] = ["--policy", str(run)]
    if arguments.dpo:
        start = folder / f"sft_{max(arguments.num_demonstrations)}"
        rows["DPO"] = ["--policy", str(improve(start, arguments))]
    if arguments.encoder:
        rows["encoder"] = ["--policy", arguments.encoder]
    return rows | {name: ["--policy", name] for name in RULES}


def imitate(teacher: str, shown: Path, number: int, run: Path, arguments: argparse.Namespace) -> Path:
    """SFT on the first episodes of a teacher that earn 1; returns the run's folder."""
    if not shown.exists():
        most = max(arguments.num_demonstrations) if teacher == "demonstrator" else number
        recrl("generate-trajectories", "--policy", teacher, "--num_trajectories", most, "--output_dir", shown)
    if not (run / "training_metrics.json").exists():
        recrl("train", "sft", "--config", "sft_embedded", "--model_name_or_path", arguments.model,
              "--demonstrations", shown, "--num_demonstrations", number, "--output_dir", run,
              "--max_prompt_tokens", arguments.max_prompt_tokens, "--seed", arguments.seed)  # fmt: skip
    return run


def improve(start: Path, arguments: argparse.Namespace) -> Path:
    """DPO of a language model on its own episodes; returns its run's folder."""
    played, run = start.with_name(f"{start.name}_trajectories"), arguments.output_dir / "dpo"
    if not played.exists():
        number = arguments.num_own_episodes
        recrl("generate-trajectories", "--policy", start, "--num_trajectories", number, "--max_episodes", number,
              "--min_reward", 0, "--rollouts_per_goal", 4, "--output_dir", played)  # fmt: skip
    if not (run / "training_metrics.json").exists():
        recrl("train", "dpo-language", "--config", "dpo_language_embedded", "--model_name_or_path", start,
              "--trajectories", played, "--min_reward", arguments.min_reward, "--output_dir", run,
              "--seed", arguments.seed)  # fmt: skip
    return run


def cost_of(policy: LanguagePolicy) -> dict[str, float]:
    """What a decision costs: tokens of prompt and answers, CPU seconds; and the process's most memory, in GB."""
    catalog = load_catalog(None)
    goals = [int(goal) for goal in catalog.split("test", "product")[:MEASURED_GOALS]]
    episodes = rollout(load_policy("demonstrator"), catalog, goals, seed=0)
    decisions = [one for episode in episodes for one in episode.decisions() if len(one.valid_actions) > 1]
    prompts = [len(policy.chat.prompt_ids(policy.prompt_of(one).messages)) for one in decisions]
    answers = [sum(len(policy.chat.answer_ids(action)) for action in one.valid_actions) for one in decisions]
    started = time.process_time()
    for one in decisions:
        policy.log_probs([one])
    return {
        "num_decisions": len(decisions),
        "prompt_tokens": float(np.mean(prompts)),
        "answer_tokens": float(np.mean(answers)),
        "cpu_seconds": (time.process_time() - started) / len(decisions),
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Trains, plays, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="causal language model with a chat template")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/language_models"))
    parser.add_argument("--catalog", help="also play the test goals of this catalogue")
    parser.add_argument("--encoder", help="a trained scorer, for a row of its own")
    parser.add_argument("--judgement", help="a trained judgement: also SFT on the episodes of the planner by it")
    parser.add_argument("--num_demonstrations", type=int, nargs="+", default=[100, 400], help="of an SFT each")
    parser.add_argument(
        "--dpo", action=argparse.BooleanOptionalAction, default=True, help="also DPO on the largest SFT"
    )
    parser.add_argument("--num_own_episodes", type=int, default=200, help="of the SFT, for DPO; 4 of each goal")
    parser.add_argument("--min_reward", type=float, default=0.5, help="lowest reward of what DPO prefers")
    parser.add_argument("--num_episodes", type=int, default=50, help="test goals of each catalogue")
    parser.add_argument("--max_prompt_tokens", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    rows = make_models(arguments)
    for name, catalog in {"embedded": None, "catalog": arguments.catalog}.items():
        if name == "catalog" and catalog is None:
            continue
        results = {}
        for row, flags in rows.items():
            path = arguments.output_dir / f"{name}_{row.replace(' ', '_')}.json"
            if not path.exists():
                where = [] if catalog is None else ["--catalog", catalog]
                if catalog is not None and row not in ("encoder", *RULES):
                    where += ["--max_prompt_tokens", 2 * arguments.max_prompt_tokens]  # real titles are longer
                goals = ["--num_episodes", arguments.num_episodes]
                recrl("evaluate", *flags, *where, *goals, "--output_json", path)
            results[row] = load_result(path)
        print_table(results)
    policy = LanguagePolicy.from_pretrained(arguments.model, max_prompt_tokens=arguments.max_prompt_tokens)
    cost = cost_of(policy)
    write_json(arguments.output_dir / "cost.json", cost)
    print(f"what a decision costs: {cost}")


if __name__ == "__main__":
    main()

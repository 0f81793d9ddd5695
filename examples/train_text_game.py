"""Trains an agent on a text game that is no shop, by every method, and compares what comes of it.

    python examples/train_text_game.py --output_dir runs/text_game
    python examples/train_text_game.py --game textworld_game --max_steps 12 --state_form compact

The game is that of text_game.py, or of another module beside it that has a `make_task` and a `Teacher`; nothing of
recrl is changed for it. The teacher's episodes make the imitation start, the start's own ones preference pairs for DPO,
and PPO plays on. The encoder is MiniLM-L6 unless `--encoder` names another.
Prints a table of success on test goals, whose targets training never met, and the report of a comparison.
"""

import argparse
import sys
from pathlib import Path

from recrl import TrajectoryConfig, evaluate, generate_trajectories, load_policy
from recrl.evaluation.comparison import compare
from recrl.evaluation.comparison_tables import comparison_table
from recrl.evaluation.config import ComparisonConfig
from recrl.evaluation.tables import print_table
from recrl.training.dpo import ChoiceDPOConfig, DPOArguments, train_dpo
from recrl.training.environment import MixedEnvironmentArguments
from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
from recrl.training.ppo.config import PPOConfig
from recrl.training.ppo.loop import train_ppo
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/text_game"), help="takes episodes and models")
    parser.add_argument("--game", default="text_game", help="module with make_task and Teacher, in this folder")
    parser.add_argument("--max_steps", type=int, default=8, help="actions after which an episode is truncated")
    parser.add_argument("--state_form", default="instruction", help="what of the page is read: instruction, compact")
    parser.add_argument("--num_demonstrations", type=int, default=40, help="episodes of the teacher")
    parser.add_argument("--encoder", help="a BERT-family encoder by Hub id or folder; without it MiniLM-L6")
    parser.add_argument("--num_updates", type=int, default=30, help="updates of PPO")
    parser.add_argument("--num_frozen_layers", type=int, default=6, help="encoder layers that DPO and PPO leave as is")
    parser.add_argument("--seed", type=int, default=0, help="of episodes, pairs and training")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))  # where the games are
    shown, played, start, dpo, ppo, comparison = (
        str(arguments.output_dir / name)
        for name in ("demonstrations", "trajectories", "imitation", "dpo", "ppo", "comparison")
    )
    tuning = TuningArguments(num_frozen_layers=arguments.num_frozen_layers)
    quiet = {"use_cpu": True, "disable_tqdm": True, "seed": arguments.seed}
    game = {"environment": f"{arguments.game}:make_task", "max_steps": arguments.max_steps}
    play = {"seed": arguments.seed, **game}
    teacher, num_shown = f"{arguments.game}:Teacher", arguments.num_demonstrations

    generate_trajectories(TrajectoryConfig(policy=teacher, output_dir=shown, num_trajectories=num_shown, **play))
    train_imitation(
        ImitationArguments([shown], model_name_or_path=arguments.encoder, state_form=arguments.state_form),
        TuningArguments(),
        ImitationConfig(output_dir=start, num_train_epochs=1, **quiet),
    )
    generate_trajectories(
        TrajectoryConfig(
            policy=start, output_dir=played, num_trajectories=160, min_reward=0.0, rollouts_per_goal=4, **play
        )
    )
    train_dpo(
        DPOArguments(start, trajectories=played, pairs=["steps", "contrasts"], pairs_seed=arguments.seed),
        tuning,
        ChoiceDPOConfig(output_dir=dpo, **quiet),
    )
    train_ppo(
        PPOArguments(start),
        MixedEnvironmentArguments(environment=game["environment"], max_episode_steps=game["max_steps"]),
        tuning,
        PPOConfig(
            output_dir=ppo,
            num_updates=arguments.num_updates,
            num_envs=16,
            num_steps=16,
            num_minibatches=8,
            value_warmup=2,
            eval_every=10,
            head_learning_rate=1e-3,
            **quiet,
        ),
    )

    task = TrajectoryConfig(policy="random", output_dir="", **game).load_task()
    policies = {"random": "random", "imitation": start, "dpo": dpo, "ppo": ppo}
    results = {
        name: evaluate(load_policy(spec), task, max_steps=arguments.max_steps) for name, spec in policies.items()
    }
    print_table(results, baseline="imitation")
    report = compare(
        ComparisonConfig(policies=(start, dpo, ppo), output_dir=comparison, num_episodes=60, runs=1, **game)
    )
    comparison_table(report).print()


if __name__ == "__main__":
    main()

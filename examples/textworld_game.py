"""Games of TextWorld (arXiv:1806.11532), a package that knows nothing of recrl, played as any other task.

    pip install 'recrl[games]'
    python examples/textworld_game.py --num_episodes 8

TextWorld makes a game from a seed, says its objective, and lists the commands that are admissible. The class below
turns that into what recrl needs; the command line takes the task by name: `recrl evaluate --environment
textworld_game:make_task --policy random`, in this folder. Prints what random play earns, and an episode's beginning.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import textworld

from recrl import GymTask, check_environment, evaluate, load_policy, rollout
from recrl.evaluation.tables import print_table
from recrl.webshop.spaces import UnicodeText

NUM_GAMES = 10
WANTED = textworld.EnvInfos(admissible_commands=True, objective=True, won=True, description=True, inventory=True)
FOLDER = Path(tempfile.mkdtemp())  # of compiled games


class TextWorldGame(gym.Env[str, str]):
    """Goal i is the game of seed i: three rooms, four objects, a quest of two steps."""

    observation_space, action_space = UnicodeText(), UnicodeText()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        settings = textworld.GameOptions()
        settings.seeds, settings.nb_rooms, settings.nb_objects, settings.quest_length = seed or 0, 3, 4, 2
        settings.path = str(FOLDER / f"{seed}.z8")
        if not Path(settings.path).exists():
            textworld.generator.compile_game(textworld.generator.make_game(settings), settings)
        self.game = textworld.start(settings.path, WANTED)
        return self._shown(self.game.reset())

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        state, _, is_over = self.game.step(action)
        observation, info = self._shown(state)
        return observation, float(is_over and state["won"]), is_over, False, info

    def _shown(self, state: Any) -> tuple[str, dict[str, Any]]:
        actions = tuple(sorted(set(state["admissible_commands"])))
        text = " ".join(f"{state['description']} {state['inventory']}".split())
        return text, {"valid_actions": actions, "instruction": " ".join(state["objective"].split())}


def make_task() -> GymTask:
    return GymTask("textworld-3-rooms", TextWorldGame, NUM_GAMES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_episodes", type=int, default=8, help="test games, each played once")
    arguments = parser.parse_args()
    check_environment(TextWorldGame())
    task, policy = make_task(), load_policy("random")
    print_table({"random": evaluate(policy, task, num_episodes=arguments.num_episodes, max_steps=30)})
    [episode] = rollout(policy, task, [0], seed=0, max_steps=30)
    print(episode.instruction)
    for step in episode.steps[:5]:
        print(f"  {step.action}")


if __name__ == "__main__":
    main()

"""Games of TextWorld (arXiv:1806.11532), a package that knows nothing of recrl, played as any other task.

    pip install 'recrl[games]'
    python examples/textworld_game.py --num_episodes 8

TextWorld makes a game from a seed, says its objective, and lists the admissible commands. The command line takes it by
name: `recrl evaluate --environment textworld_game:make_task --policy random --max_steps 12`, in this folder, and
train_text_game.py trains agents on it. TEXTWORLD_GAMES says how many games there are.
Prints what random play earns, and how the teacher plays one game.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import textworld

from recrl import Choice, Decision, GymTask, check_environment, evaluate, load_policy, rollout
from recrl.evaluation.tables import print_table
from recrl.files import cache_dir
from recrl.webshop.spaces import UnicodeText

NUM_GAMES, ROOMS, OBJECTS, QUEST = int(os.environ.get("TEXTWORLD_GAMES", "100")), 4, 6, 4
ASKED = "admissible_commands objective won description inventory policy_commands".split()
WANTED = textworld.EnvInfos(**dict.fromkeys(ASKED, True))


def compiled(seed: int) -> Path:
    """The file of a game, which is made once, in some seconds, and kept in the cache."""
    folder = cache_dir() / "textworld" / f"{textworld.__version__}-{ROOMS}-{OBJECTS}-{QUEST}"
    if not (folder / f"{seed}.z8").exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = textworld.GameOptions()
        made.seeds, made.nb_rooms, made.nb_objects, made.quest_length = seed, ROOMS, OBJECTS, QUEST
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made.path = f"{temporary}/{seed}.z8"
            textworld.generator.compile_game(textworld.generator.make_game(made), made)
            for ending in (".json", ".z8"):  # the file that is asked for above comes last
                shutil.move(f"{temporary}/{seed}{ending}", folder / f"{seed}{ending}")
    return folder / f"{seed}.z8"


class TextWorldGame(gym.Env[str, str]):
    """Goal i is the game of seed i: rooms, things, and a quest of four commands that the objective tells in words."""

    observation_space, action_space, game = UnicodeText(), UnicodeText(), None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        if self.game:
            self.game.close()
        self.game = textworld.start(str(compiled(seed or 0)), WANTED)
        return self._shown(self.game.reset())

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        state, _, is_over = self.game.step(action)
        observation, info = self._shown(state)
        return observation, float(is_over and state["won"]), is_over, False, info

    def _shown(self, state: Any) -> tuple[str, dict[str, Any]]:
        self.way = state["policy_commands"]  # to the end of the quest, for the teacher
        actions = tuple(sorted(set(state["admissible_commands"])))
        text = " ".join(f"{state['description']} {state['inventory']}".split())
        return text, {"valid_actions": actions, "instruction": " ".join(state["objective"].split())}


def make_task() -> GymTask:
    return GymTask("textworld-4-rooms", TextWorldGame, NUM_GAMES)


class Teacher:
    """Plays what TextWorld itself says leads to the end."""

    name, catalog_sha256, knows_goal = "teacher", None, True

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        return [Choice(d.valid_actions.index(d.env.inner.way[0]), 0.0) for d in decisions]  # type: ignore[union-attr]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_episodes", type=int, default=8, help="test games, each played once")
    arguments = parser.parse_args()
    check_environment(TextWorldGame())
    random = load_policy("random")
    print_table({"random": evaluate(random, make_task(), num_episodes=arguments.num_episodes, max_steps=12)})
    [played] = rollout(Teacher(), make_task(), [0], seed=0, max_steps=12)
    print("\n".join([played.instruction, *(f"  {step.action}" for step in played.steps)]))


if __name__ == "__main__":
    main()

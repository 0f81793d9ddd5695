"""A text game that is no shop, made ready for recrl.

    python examples/text_game.py

Something is to be found in a room of a house. The game is a Gymnasium environment that lists its valid actions;
`make_task` is all that recrl needs beside it. The command line takes it by name, in this folder: `recrl evaluate
--environment text_game:make_task --policy random --max_steps 8`. How an agent learns it is shown by train_text_game.py.
Prints that the game keeps to the protocol, and an episode of the teacher's.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from recrl import Choice, Decision, GymTask, check_environment, rollout
from recrl.webshop.spaces import UnicodeText

ROOMS = "attic bathroom bedroom cellar garage garden kitchen library nursery office pantry workshop".split()
THINGS = ("basket", "box", "chest", "cupboard", "drawer", "shelf")
GOALS = list(itertools.product(ROOMS, THINGS, ("coin", "key")))


class TreasureHouse(gym.Env[str, str]):
    """Go to the room that the wish names, open things until one holds what is wanted, and take it.

    The wish does not say which thing, so whoever does not know opens one after the other, and none of them twice: eight
    steps are enough.
    """

    observation_space, action_space = UnicodeText(), UnicodeText()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.goal = GOALS[options["goal_index"] if options else self.np_random.integers(len(GOALS))]
        self.room, self.thing = "hall", ""
        return self._look()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        verb, name = action.split()
        if verb == "take":
            return f"You took the {name}.", 1.0, True, False, {"valid_actions": ()}
        if verb == "go":
            self.room, self.thing = name, ""
        else:
            self.thing = name
        observation, info = self._look()
        return observation, 0.0, False, False, info

    def _look(self) -> tuple[str, dict[str, Any]]:
        room, thing, wanted = self.goal
        is_there = (self.room, self.thing) == (room, thing)
        text = f"You are in the {self.room}."
        if self.thing:
            text += f" In the {self.thing} is " + (f"a {wanted}." if is_there else "nothing.")
        taken = [f"take {wanted}"] if is_there else []
        things = [] if self.room == "hall" else [f"open {name}" for name in THINGS]
        ways = [f"go {name}" for name in ROOMS] if self.room == "hall" else ["go hall"]
        wish = f"Bring me the {wanted}, which must be somewhere in the {room}."
        return text, {"valid_actions": (*taken, *things, *ways), "instruction": wish}


def make_task() -> GymTask:
    """144 goals. The two in one place are in one split, and count as one in intervals."""
    return GymTask("treasure-house", TreasureHouse, len(GOALS), target=lambda goal: " ".join(GOALS[goal][:2]))


class Teacher:
    """Plays perfectly: with `knows_goal` it gets the environment, whose `inner` is the game."""

    name, catalog_sha256, knows_goal = "teacher", None, True

    def act(
        self, decisions: Sequence[Decision], rngs: Sequence[np.random.Generator], *, greedy: bool = False
    ) -> list[Choice]:
        return [Choice(self._right(decision), 0.0) for decision in decisions]

    def _right(self, decision: Decision) -> int:
        game: TreasureHouse = decision.env.inner  # type: ignore[union-attr]
        room, thing, wanted = game.goal
        plan = [f"go {room}", f"open {thing}", f"take {wanted}"]
        return decision.valid_actions.index(plan[len(decision.previous_actions)])


def main() -> None:
    check_environment(TreasureHouse())
    print("the game keeps to the protocol")
    [episode] = rollout(Teacher(), make_task(), [17], seed=0)
    print(episode.instruction)
    for step in episode.steps:
        print(f"  {step.observation} -> {step.action}")
    print(f"reward {episode.reward}")


if __name__ == "__main__":
    main()

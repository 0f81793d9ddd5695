"""A shop of buttons with known answers, and runs of PPO in it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from recrl.scoring.checkpoints import load_scorer
from recrl.training.ppo.config import PPOConfig
from recrl.training.ppo.loop import ppo_loop
from recrl.training.ppo.state import PPOState
from recrl.training.progress import Bar
from recrl.training.tuning import TuningArguments
from recrl.webshop.reading import read_page

INSTRUCTION = "i want a green shirt, and price lower than 20.00 dollars"


class ToyShop:
    """Pages of buttons. ``right`` names the wanted button of each page, or None where any will do.

    The reward comes with the last page: 1 if all were right. After ``max_steps`` actions an episode is truncated.
    """

    def __init__(self, pages: list[tuple[str, ...]], right: list[str | None], seed: int, max_steps: int = 99) -> None:
        self.pages, self.right, self.max_steps, self.goal_index = pages, right, max_steps, 0
        self._rng = np.random.default_rng(seed)

    @property
    def np_random(self) -> np.random.Generator:
        return self._rng

    def reset(self, *, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        self.taken: list[str] = []
        return self._show()

    def _show(self) -> tuple[str, dict[str, Any]]:
        place = min(len(self.taken), len(self.pages) - 1)
        shown = "\n".join(f"  [button] {name} [button_]" for name in self.pages[place])
        text = f"Instruction:\n{INSTRUCTION}\n[button] Back to Search [button_]\n[button] < Prev [button_]\n"
        text += f"color\n{shown}\n"
        text += f"shirt number {place}\nPrice: $9.0\nRating: N.A.\n[button] Buy Now [button_]\n"
        return text, {
            "page": read_page(text),
            "valid_actions": tuple(f"click[{name}]" for name in self.pages[place]),
        }

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.taken.append(action.removeprefix("click[").removesuffix("]"))
        terminated = len(self.taken) == len(self.pages)
        right = all(wanted in (None, taken) for wanted, taken in zip(self.right, self.taken, strict=False))
        observation, info = self._show()
        if terminated:
            info["reward_parts"] = {"r_type": 1.0}
        truncated = not terminated and len(self.taken) >= self.max_steps
        return observation, float(terminated and right), terminated, truncated, info


def config_for(output_dir: Path, **changed: Any) -> PPOConfig:
    fields: dict[str, Any] = {
        "output_dir": str(output_dir), "use_cpu": True, "num_updates": 12, "num_envs": 4, "num_steps": 16,
        "num_minibatches": 4, "num_passes": 3, "learning_rate": 1e-3, "head_learning_rate": 1e-2, "value_warmup": 1,
        "kl_coef": 0.0, "target_kl": None, "lr_scheduler_type": "constant", "eval_every": 0,
    }  # fmt: skip
    return PPOConfig(**(fields | changed))


def new_state(
    scorer: Path,
    shop: Any,
    output_dir: Path,
    *,
    demonstrations: Any = (),
    on_dev: Any = None,
    tuning: TuningArguments | None = None,
    **changed: Any,
) -> PPOState:
    torch.manual_seed(0)
    return PPOState.create(
        *load_scorer(scorer), shop, tuning or TuningArguments(), config_for(output_dir, **changed),
        demonstrations=demonstrations, on_dev=on_dev,
    )  # fmt: skip


def run(scorer: Path, shop: Any, output_dir: Path, **changed: Any) -> tuple[list[dict[str, float]], Path]:
    state = new_state(scorer, shop, output_dir, **changed)
    ppo_loop(state, Bar("ppo"))
    return state.log, output_dir


def shop_of(pages: list[tuple[str, ...]], right: list[str | None], **settings: Any) -> Any:
    return lambda number: ToyShop(pages, right, number, **settings)


ONE_PAGE = ([("red", "blue", "white", "grey")], ["white"])

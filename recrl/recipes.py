"""The recipes: what `recrl train NAME` and the script of the same name in `recipes/` run.

A recipe states its dataclasses and its function by name, so that `--help` shows its own options without importing what
trains; `--help_all` adds those of transformers and TRL.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from recrl.launching import LAUNCH_FLAGS, launch, take_launch_flags
from recrl.settings import Parser
from recrl.terminal import quiet_libraries, show


@dataclass(frozen=True)
class Recipe:
    """A training method.

    Attributes:
        name: its word after `recrl train`; text: what it does.
        arguments: the dataclasses of what is learned from, as "module:class" in `recrl.training`.
        settings: the trainer's settings that `--help` shows; config: the dataclass that adds transformers' or TRL's.
        train: the function that takes all of them, ``arguments`` and then ``config``.
    """

    name: str
    text: str
    arguments: tuple[str, ...]
    settings: str
    config: str
    train: str

    @property
    def script(self) -> str:
        """The name of its script in `recipes/`, and how its YAML files begin."""
        return self.name.replace("-", "_")


ADAPTER = "settings.language:AdapterArguments"
TUNING, ENVIRONMENT = "tuning:TuningArguments", "environment:EnvironmentArguments"
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="judgement",
            text="learn, on training goals, which product is a perfect purchase as far as it is known",
            arguments=("settings.judgement:JudgementArguments",),
            settings="settings.judgement:JudgementSettings",
            config="judgement:JudgementConfig",
            train="judgement:train_judgement",
        ),
        Recipe(
            name="imitation",
            text="imitate demonstrations: the start of every later stage",
            arguments=("settings.imitation:ImitationArguments", TUNING),
            settings="settings.imitation:ImitationSettings",
            config="imitation:ImitationConfig",
            train="imitation:train_imitation",
        ),
        Recipe(
            name="dpo",
            text="learn from preference pairs, with TRL's DPOTrainer",
            arguments=("settings.dpo:DPOArguments", TUNING),
            settings="settings.dpo:DPOSettings",
            config="dpo:ChoiceDPOConfig",
            train="dpo:train_dpo",
        ),
        Recipe(
            name="self-improvement",
            text="learn from the agent's own episodes, in rounds of playing and DPO",
            arguments=("settings.self_improvement:SelfImprovementArguments", ENVIRONMENT, TUNING),
            settings="settings.self_improvement:SelfImprovementSettings",
            config="self_improvement:SelfImprovementConfig",
            train="self_improvement:train_self_improvement",
        ),
        Recipe(
            name="ppo",
            text="learn in the environment with PPO",
            arguments=("settings.ppo:PPOArguments", "environment:MixedEnvironmentArguments", TUNING),
            settings="settings.ppo:PPOSettings",
            config="ppo.config:PPOConfig",
            train="ppo.loop:train_ppo",
        ),
        Recipe(
            name="sft",
            text="fine-tune a language model on demonstrations, with TRL's SFTTrainer",
            arguments=("settings.sft:SFTArguments", ADAPTER),
            settings="settings.sft:SFTSettings",
            config="sft:LanguageSFTConfig",
            train="sft:train_sft",
        ),
        Recipe(
            name="dpo-language",
            text="train a language model on preference pairs, with TRL's DPOTrainer",
            arguments=("settings.dpo_language:LanguageDPOArguments", ADAPTER),
            settings="settings.dpo_language:LanguageDPOSettings",
            config="dpo_language:LanguageDPOConfig",
            train="dpo_language:train_dpo_language",
        ),
        Recipe(
            name="grpo",
            text="let a language model shop by calls of tools and learn from its rewards, with TRL's GRPOTrainer",
            arguments=("settings.grpo:GRPOArguments", "settings.grpo:GRPOShop", ADAPTER),
            settings="settings.grpo:GRPOSettings",
            config="grpo:LanguageGRPOConfig",
            train="grpo:train_grpo",
        ),
        Recipe(
            name="search",
            text="train the model that proposes search queries, on queries that people typed",
            arguments=("settings.search:QueryArguments",),
            settings="settings.search:QuerySettings",
            config="search:QueryConfig",
            train="search:train_queries",
        ),
    )
}


def recipe_of(file: str) -> Recipe | None:
    """The recipe whose settings a YAML file holds by its name, such as ``dpo_embedded``; None for an experiment's."""
    named = [recipe for recipe in RECIPES.values() if file.startswith(f"{recipe.script}_")]
    return max(named, key=lambda recipe: len(recipe.script), default=None)


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"recrl.training.{module}"), attribute)


def make_parser(recipe: Recipe) -> Any:
    """The parser of all keys, a `trl.TrlParser`, for `recrl.training.recipe.parse_recipe`."""
    from trl import TrlParser

    return TrlParser([_load(name) for name in (*recipe.arguments, recipe.config)], prog=f"recrl train {recipe.name}")


def format_help(recipe: Recipe) -> str:
    """What `--help` shows: the recipe's own options."""
    parser = Parser(
        prog=f"recrl train {recipe.name}",
        usage=f"recrl train {recipe.name} [--config FILE] [--key value ...]",
        description=f"{recipe.text[0].upper()}{recipe.text[1:]}.",
        epilog="All options of transformers and TRL are keys too: --help_all lists them.",
    )
    parser.add_argument("--help_all", action="store_true", help="Show every key, those of transformers and TRL too.")
    for flag, (metavar, text) in LAUNCH_FLAGS.items():
        parser.add_argument(flag, metavar=metavar, help=text)
    parser.show_settings(*(_load(name) for name in (*recipe.arguments, recipe.settings)))
    return parser.format_help()


def format_help_all(recipe: Recipe) -> str:
    """What `--help_all` shows: every key."""
    from recrl.training.recipe import add_config

    parser = make_parser(recipe)
    add_config(parser)
    return parser.format_help()


def main(name: str, words: Sequence[str] | None = None) -> None:
    """Runs a recipe with its flags, by default those of the command line, and ends as the command line does."""
    from recrl.training.recipe import run_recipe

    recipe = RECIPES[name]
    given = sys.argv[1:] if words is None else list(words)
    if "--help_all" in given:
        print(format_help_all(recipe), end="")
    elif {"-h", "--help"} & set(given):
        print(format_help(recipe), end="")
    else:
        run_recipe(lambda: _train(recipe, given))


def _train(recipe: Recipe, words: Sequence[str]) -> None:
    flags, others = take_launch_flags(words)
    if flags:
        launch(["train", recipe.name, *others], flags)
        return
    from recrl.publishing.push import push_run
    from recrl.training.outcome import outcome_lines
    from recrl.training.recipe import parse_recipe
    from recrl.training.runs import training_metrics

    configs = parse_recipe(make_parser(recipe), others)
    config = configs[-1]
    quiet_libraries()
    folder = _load(recipe.train)(*configs)
    address = push_run(config)
    if config.should_save:
        for line in outcome_lines(folder, training_metrics(folder)):
            show(line)
        if address is not None:
            show(f"pushed: {address}")

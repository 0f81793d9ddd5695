"""The command line: which commands there are, and how they end.

Exit codes: 0 done; 2 bad usage or input; 130 interrupted; 1 whoever read the output left before its end.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recrl.commands import catalogs, evaluating, playing, preferences, trajectories, upkeep
from recrl.errors import RecrlError
from recrl.importing.config import ImportConfig
from recrl.preferences.exporting import ExportConfig
from recrl.recipes import RECIPES
from recrl.recipes import main as run_recipe
from recrl.reports.config import ReportConfig, ShowConfig
from recrl.serving.config import ServerConfig
from recrl.settings import Parser, build
from recrl.signals import DONE, EXIT_CODE, NOTHING_WRITTEN, end_at_once, raise_interrupts
from recrl.terminal import print_any_text, show, start_logging
from recrl.version import __version__
from recrl.webshop.own_catalog_config import CatalogImportConfig

KEPT = "what was done is kept: run the same command again to go on"
NOT_KEPT = "nothing was written: run the same command again from the start"


@dataclass(frozen=True)
class Command:
    """A command of `recrl`.

    Attributes:
        name: its word, or its group's and its own; text: what it does.
        config: the dataclass that states its settings, which ``run`` takes.
        interrupted: what is said of its work when it is interrupted.
    """

    name: str
    config: type
    run: Callable[[Any], None]
    text: str
    interrupted: str = NOT_KEPT


GROUPS = {
    "catalog": "build, make up or describe a catalogue",
    "train": "train an agent, or a part of one, by a recipe",
    "recipe": "list the settings that come with the package, or copy them",
}
COMMANDS = (
    Command("quickstart", playing.QuickstartCommandConfig, playing.quickstart,
            "run it all once: judgement, demonstrations, imitation, own trajectories, DPO, evaluation, table", KEPT),
    Command("catalog build", catalogs.CatalogBuildConfig, catalogs.catalog_build,
            "build a catalogue from a folder with raw WebShop files", KEPT),
    Command("catalog synth", catalogs.CatalogSynthConfig, catalogs.catalog_synth,
            "write a made-up catalogue in the raw WebShop format"),
    Command("catalog download", catalogs.CatalogDownloadConfig, catalogs.catalog_download,
            "fetch the published WebShop files from the Hub", KEPT),
    Command("catalog import", CatalogImportConfig, catalogs.catalog_import,
            "turn a shop's own table of products into a catalogue"),
    Command("catalog info", catalogs.CatalogInfoConfig, catalogs.catalog_info,
            "print the counts and fingerprints of a catalogue"),
    Command("shop", playing.ShopConfig, playing.shop, "play an episode by hand in the terminal"),
    Command("generate-trajectories", trajectories.GenerateTrajectoriesConfig, trajectories.generate_trajectories,
            "collect a policy's episodes as a `datasets` dataset", KEPT),
    Command("import-trajectories", ImportConfig, trajectories.import_trajectories,
            "turn recorded sessions, WebShop's imitation file or JSON lines into a trajectory dataset"),
    Command("recipe list", upkeep.RecipeListConfig, upkeep.recipe_list,
            "list the recipes' YAML files that come with the package"),
    Command("recipe copy", upkeep.RecipeCopyConfig, upkeep.recipe_copy,
            "copy a recipe's YAML file, or all files with the scripts, to change them"),
    Command("build-preferences", preferences.BuildPreferencesConfig, preferences.build_preferences,
            "make preference pairs of trajectories, and count them"),
    Command("describe-preferences", preferences.DescribePreferencesConfig, preferences.describe_preferences,
            "count preference pairs again"),
    Command("export", ExportConfig, preferences.export,
            "write episodes or preference pairs as rows of messages for TRL's trainers"),
    Command("serve-environment", ServerConfig, playing.serve_environment,
            "serve the environment over the network with OpenEnv's protocol", "the server has stopped"),
    Command("evaluate", evaluating.EvaluateConfig, evaluating.evaluate,
            "play every goal of a split once, and print success and score with 95% intervals"),
    Command("compare", evaluating.CompareConfig, evaluating.compare,
            "let agents play side by side, with episodes allotted by Thompson's rule", KEPT),
    Command("show", ShowConfig, evaluating.show_episode,
            "show an episode page by page: what it saw, how probable each action was, why it earned what it did"),
    Command("report", ReportConfig, evaluating.report,
            "write one page of what runs have come to: results, curves, failures, and every episode to step through"),
    Command("evaluate-search", evaluating.EvaluateSearchConfig, evaluating.evaluate_search,
            "say what a query model proposes, and what its queries find"),
    Command("verify", upkeep.VerifyConfig, upkeep.verify,
            "say what a folder, a file or a repository on the Hub is, and what of it is damaged"),
    Command("convert-checkpoint", upkeep.ConvertCheckpointConfig, upkeep.convert_checkpoint,
            "turn WebShop's published choice model into a scorer"),
)  # fmt: skip


def make_parser() -> Parser:
    """The parser of ``recrl`` with its sub-commands."""
    parser = Parser(prog="recrl", description="Fine-tune agents that shop and recommend, from very little data.")
    parser.add_argument("--version", action="version", version=f"recrl {__version__}")
    top = parser.add_subparsers(title="commands", metavar="command", required=True, parser_class=Parser)
    groups: dict[str, Any] = {"": top}

    def in_group(group: str) -> Any:
        if group not in groups:
            under = top.add_parser(group, help=GROUPS[group])
            groups[group] = under.add_subparsers(title="actions", metavar="action", required=True, parser_class=Parser)
        return groups[group]

    for command in COMMANDS:
        if command.name == "evaluate":  # training stands before what is done with its result
            for recipe in RECIPES.values():
                in_group("train").add_parser(recipe.name, help=recipe.text)
        group, _, name = command.name.rpartition(" ")
        made = in_group(group).add_parser(name, help=command.text.replace("%", "%%"), description=command.text)
        made.add_settings(command.config)
        made.set_defaults(command=command)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script.

    Args:
        arguments: the command's words; None for those of this process, which then ends with it.
    """
    line = ""
    try:
        raise_interrupts()
        _run(sys.argv[1:] if arguments is None else list(arguments))
        line = DONE
    except KeyboardInterrupt:  # before the command began
        show(NOTHING_WRITTEN, error=True)
        sys.exit(EXIT_CODE)
    finally:
        if arguments is None:
            end_at_once(line)


def _run(words: Sequence[str]) -> None:
    print_any_text()
    start_logging()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if words[:1] == ["train"] and words[1:2] and words[1] in RECIPES:
        run_recipe(words[1], words[2:])
        return
    parsed = make_parser().parse_args(words)
    command: Command = parsed.command
    try:
        command.run(build(command.config, parsed))
        sys.stdout.flush()
    except RecrlError as error:
        show(f"error: {' '.join(str(error).split())}", error=True)
        sys.exit(2)
    except KeyboardInterrupt:
        show(f"interrupted; {command.interrupted}", error=True)
        sys.exit(EXIT_CODE)
    except BrokenPipeError:  # whoever read the output has read enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        sys.exit(1)

"""The commands of `recrl`: what each can be told, and what it calls and prints.

Each takes one dataclass, whose fields are its flags (`recrl.settings`). Where the library has such a dataclass the
command takes it, or one that inherits from it and adds what only the command does: print, draw, push.
"""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError, DatasetError, RecrlError
from recrl.evaluation.config import ComparisonConfig, EvaluationConfig, SearchEvaluationConfig
from recrl.importing.config import ImportConfig
from recrl.preferences.config import PairingConfig
from recrl.preferences.exporting import ExportConfig
from recrl.quickstart import QuickstartConfig
from recrl.reports.config import ReportConfig, ShowConfig
from recrl.rollouts.config import CATALOG_HELP, SPLIT_HELP, CatalogSettings, PlaySettings, TrajectoryConfig
from recrl.serving.config import ServerConfig
from recrl.settings import part, to_seed
from recrl.tables import FOR_PROGRAMS, FORMATS, TableSettings, print_tables
from recrl.terminal import ProgressLine, quiet_libraries, show
from recrl.webshop.own_catalog_config import CatalogImportConfig

SHOWN_EXAMPLES = 3  # of what was left out for one reason


@dataclass(frozen=True, kw_only=True)
class QuickstartCommandConfig(TableSettings, QuickstartConfig):
    """How the table is printed."""


def quickstart(config: QuickstartCommandConfig) -> None:
    from recrl.quickstart import run_quickstart

    quiet_libraries()
    logging.getLogger("recrl.training.progress").setLevel(logging.WARNING)  # a line a stage is enough
    table = run_quickstart(part(config, QuickstartConfig), say=ProgressLine().say)
    print_tables([table], config.format)


@dataclass(frozen=True, kw_only=True)
class CatalogBuildConfig:
    """What is built."""

    raw_folder: str = field(
        metadata={
            "help": "Folder with items_shuffle[_1000].json and items_ins_v2[_1000].json, plain or gzipped.",
            "positional": True,
        }
    )
    output_dir: str = field(metadata={"help": "Folder of the built catalogue."})
    num_products: int | None = field(
        default=None, metadata={"help": "Take the first N raw products only; without it all."}
    )
    skip_invalid: bool = field(
        default=False, metadata={"help": "Leave invalid records out and list them, instead of stopping at the first."}
    )
    num_workers: int | None = field(
        default=None, metadata={"help": "Processes; without it one for each core, and a single one for a small file."}
    )


def catalog_build(config: CatalogBuildConfig) -> None:
    from recrl.webshop.building import SKIPPED_FILE, build_catalog
    from recrl.webshop.catalog import num_at_default_price
    from recrl.webshop.products import PRODUCTS_FILE, ProductStore
    from recrl.webshop.rawfiles import DEFAULT_PRICE
    from recrl.webshop.sealed import read_sealed

    line = ProgressLine()
    folder = build_catalog(
        config.raw_folder,
        config.output_dir,
        num_products=config.num_products,
        skip_invalid=config.skip_invalid,
        num_workers=config.num_workers,
        say=line.say,
    )
    line.end()
    manifest = read_sealed(folder)
    show(f"built {folder}: {manifest['num_products']} products of {manifest['num_records']} records")
    defaulted = num_at_default_price(ProductStore(folder / PRODUCTS_FILE))
    if defaulted:
        print(f"{defaulted} products cost {DEFAULT_PRICE} dollars, the price of those that state none")
    if manifest["num_skipped"]:
        show(f"left out {manifest['num_skipped']} invalid records; the reasons are in {folder / SKIPPED_FILE}")


@dataclass(frozen=True, kw_only=True)
class CatalogSynthConfig:
    """What is made up."""

    output_dir: str = field(metadata={"help": "Folder that the raw files are written to."})
    num_products: int = field(default=1000, metadata={"help": "Number of products."})
    seed: int = field(default=0, metadata={"help": "Seed of all texts, prices and options.", "type": to_seed})


def catalog_synth(config: CatalogSynthConfig) -> None:
    from recrl.webshop.synthetic import write_raw

    write_raw(config.output_dir, config.num_products, config.seed)
    show(f"wrote {config.num_products} products in the raw format to {config.output_dir}")


@dataclass(frozen=True, kw_only=True)
class CatalogDownloadConfig:
    """What is fetched."""

    which: str = field(
        metadata={
            "help": "The files of 1,000 products (10 MB) or of all 1.18 million (5.7 GB).",
            "choices": ("1000", "full"),
            "positional": True,
        }
    )
    output_dir: str = field(
        metadata={"help": "Folder that the raw files are written to; repeat the command to go on in it."}
    )
    hub_dataset_id: str | None = field(
        default=None, metadata={"help": "Dataset on the Hub that holds the files; without it a public copy."}
    )


def catalog_download(config: CatalogDownloadConfig) -> None:
    from recrl.webshop.download import HUB_DATASET_ID, download_catalog

    folder = download_catalog(
        config.which,
        config.output_dir,
        hub_dataset_id=config.hub_dataset_id or HUB_DATASET_ID,
        say=ProgressLine().say,
    )
    show(f"the files are in {folder}; use them with --catalog {folder}, or build them with `recrl catalog build`")


def catalog_import(config: CatalogImportConfig) -> None:
    from recrl.webshop import own_catalog

    report = own_catalog.import_catalog(config)
    print(
        f"{report['num_products']} of {report['num_rows']} products, {report['num_goal_products']} of them with goals, "
        f"are in {config.output_dir}"
    )
    for note in report["notes"]:
        print(f"  {note}")
    print(f"use them with --catalog {config.output_dir}")


@dataclass(frozen=True, kw_only=True)
class CatalogInfoConfig(CatalogSettings):
    """What is described."""

    catalog: str | None = field(default=None, metadata=CATALOG_HELP | {"positional": True})
    format: str = field(
        default="json", metadata={"help": "Format of what is printed: one JSON object, or a table.", "choices": FORMATS}
    )


def catalog_info(config: CatalogInfoConfig) -> None:
    from recrl.webshop.catalog import catalog_info, info_table

    info = catalog_info(config.load_catalog())
    if config.format == "json":
        show(json.dumps(info, indent=2, ensure_ascii=False))
    else:
        print_tables([info_table(info)], config.format)


@dataclass(frozen=True, kw_only=True)
class ShopConfig(PlaySettings):
    """What is played."""

    split: str = field(default="train", metadata=SPLIT_HELP)
    goal_index: int | None = field(
        default=None, metadata={"help": "The goal to play; without it one of the split is drawn."}
    )
    advisor: str | None = field(
        default=None, metadata={"help": "A policy, named as --policy, that says on each page what it would do."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.environment is not None:
            raise ConfigError("recrl shop plays shops; leave out environment")


def shop(config: ShopConfig) -> None:
    from recrl.shop import shop

    names = ("catalog", "goal_seed", "human_goals", "wording", "split", "split_by", "max_steps")
    settings = {name: getattr(config, name) for name in names}
    if config.query_model is not None:
        quiet_libraries()
        settings["queries"] = config.load_queries()
    advisor = None
    if config.advisor is not None:
        from recrl.policies.loading import load_policy

        quiet_libraries()
        advisor = load_policy(config.advisor)
    shop(settings, goal_index=config.goal_index, seed=config.seed, advisor=advisor)


@dataclass(frozen=True, kw_only=True)
class GenerateTrajectoriesConfig(TrajectoryConfig):
    """Where the dataset goes."""

    push_to_hub: bool = field(default=False, metadata={"help": "Push the dataset to the Hub when it is complete."})
    hub_dataset_id: str | None = field(default=None, metadata={"help": "user/name of the dataset on the Hub."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.push_to_hub != bool(self.hub_dataset_id):
            raise ConfigError("--push_to_hub and --hub_dataset_id user/name go together; give both or neither")


def generate_trajectories(config: GenerateTrajectoriesConfig) -> None:
    from recrl.rollouts import collecting

    quiet_libraries()
    summary = collecting.generate_trajectories(part(config, TrajectoryConfig))
    show(
        f"kept {summary['num_trajectories']} of {summary['num_episodes']} episodes "
        f"(success {summary['success_rate']:.1f}%, protocol {summary['protocol']}) in {config.output_dir}"
    )
    if config.hub_dataset_id is not None:
        from recrl.publishing.push import push_dataset

        show(f"pushed to {push_dataset(config.output_dir, config.hub_dataset_id)}")


def import_trajectories(config: ImportConfig) -> None:
    from recrl.importing import trajectories

    quiet_libraries()
    summary = trajectories.import_trajectories(config)
    print(
        f"{summary['num_trajectories']} of {summary['num_found']} trajectories came through, "
        f"{summary['num_successes']} of them with reward 1 (score {summary['score']:.1f}); they are in "
        f"{config.output_dir}"
    )
    for reason, count in summary["num_left_out"].items():
        print(f"left out: {count} because {reason}")
        for misfit in [one for one in summary["left_out"] if one["reason"] == reason][:SHOWN_EXAMPLES]:
            step = "" if misfit["step"] is None else f", step {misfit['step']}"
            print(f"  {misfit['name']}{step}{': ' if misfit['detail'] else ''}{misfit['detail']}")
    if summary["num_filled_in"]:
        print(
            f"filled in: {summary['num_filled_in']} clicks in {summary['num_with_filled_in']} sessions that went back "
            "without the server (--no_fill_gaps leaves such sessions out)"
        )
    for name, text in (
        ("num_other_results", "results pages list other products than recorded"),
        ("num_other_bounds", "goals have another price bound than recorded"),
    ):
        if summary.get(name):
            print(f"{summary[name]} {text}")
    if config.catalog is None and config.format == "webshop_sessions":
        print("the rows hold actions, asins and rewards but no pages: to train on them, import them with --catalog")


@dataclass(frozen=True, kw_only=True)
class BuildPreferencesConfig(TableSettings, PairingConfig):
    """Where the pairs go."""

    output_dir: str = field(metadata={"help": "Folder of the pairs, for `recrl train dpo --preferences`."})
    output_json: str | None = field(default=None, metadata={"help": "File that the counts are written to."})


def build_preferences(config: BuildPreferencesConfig) -> None:
    from recrl.preferences.building import write_pairs

    quiet_libraries()
    summary = write_pairs(part(config, PairingConfig), config.output_dir)
    _show_pairs(summary, config.output_json, config.format)
    command = f"recrl train dpo --model_name_or_path {config.policy} --preferences {config.output_dir}"
    _show_beside(f"wrote {config.output_dir}; train on it with `{command}`", config.format)


@dataclass(frozen=True, kw_only=True)
class DescribePreferencesConfig(TableSettings):
    """What is counted."""

    preferences: str = field(
        metadata={
            "help": "Folder of `recrl build-preferences`, or `preferences` in the folder of a DPO run.",
            "positional": True,
        }
    )
    output_json: str | None = field(default=None, metadata={"help": "File that the counts are written to."})


def describe_preferences(config: DescribePreferencesConfig) -> None:
    from recrl.preferences.building import read_pairs

    _show_pairs(read_pairs(config.preferences), config.output_json, config.format)


def export(config: ExportConfig) -> None:
    from recrl.preferences import exporting

    quiet_libraries()
    summary = exporting.export(config)
    print(
        f"wrote {summary['num_rows']} rows to {config.output_dir}: {summary['mean_tokens']:.0f} tokens on average, "
        f"{summary['longest_tokens']} the longest, under the chat template of {config.model}"
    )
    for reason, count in summary["left_out"].items():
        print(f"left out: {count} {reason}")
    for what, count in summary["cut"].items():
        print(f"cut to max_prompt_tokens={config.max_prompt_tokens}: {what}, in {count} rows")


def serve_environment(config: ServerConfig) -> None:
    try:
        from recrl.serving.server import make_server
    except ImportError as error:
        raise ConfigError(f"the server needs OpenEnv ({error}): pip install 'recrl[openenv]'") from error

    server = make_server(config)
    print(
        f"serving at http://{config.host}:{config.port}, for {config.max_sessions} sessions; Ctrl-C ends it", flush=True
    )
    server.run()


def _show_pairs(summary: dict[str, Any], output_json: str | None, form: str) -> None:
    from recrl.files import write_json
    from recrl.preferences.counts import statistics_table

    print_tables([statistics_table(summary)], form)
    if output_json:
        write_json(output_json, summary)


def _show_beside(text: str, form: str) -> None:
    """Shows what is said beside tables: on the errors where the output is for programs."""
    show(text, error=form in FOR_PROGRAMS)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(TableSettings, EvaluationConfig):
    """How the result is printed."""


def evaluate(config: EvaluateConfig) -> None:
    from recrl.evaluation.commands import run_evaluation
    from recrl.evaluation.failure_tables import example_lines, failure_table, first_of_each, summary_table
    from recrl.evaluation.tables import comparison_lines, result_table
    from recrl.publishing.cards import write_results
    from recrl.reports.finding import Run
    from recrl.reports.hints import page_of, show_command
    from recrl.reports.making import make_report
    from recrl.runs import README_FILE
    from recrl.training.runs import is_complete

    if config.query_model is not None:
        quiet_libraries()
    results = run_evaluation(part(config, EvaluationConfig))
    result, folder = next(iter(results.values())), Path(config.policy)
    tables, lines = [result_table(results)], []
    if result.comparison is not None:
        lines += comparison_lines(result.comparison)
    if config.failures is not None and result.failures is not None:
        tables.append(failure_table(result.failures, result.num_episodes))
        lines += example_lines(result.failures, config.failures)
    elif result.failures is not None and result.failures.num_failures:
        tables.append(summary_table(result.failures, result.num_episodes))
    if result.failures is not None and result.failures.num_failures:
        examples = [f"  {show_command(config, goal)}" for goal in first_of_each(result.failures).values()]
        lines += ["An example of each, page by page:", *examples]
    print_tables(tables, config.format)
    for text in lines:
        _show_beside(text, config.format)
    if config.report is not None:
        settings = asdict(part(config, EvaluationConfig))
        found = Run(Path(config.report), result.policy, results=results, settings=settings)
        page = make_report(page_of(config), found=[found])
        _show_beside(f"the report is {page}; open it in a browser", config.format)
    if config.split == "test" and is_complete(folder) and os.access(folder, os.W_OK):
        card = folder / README_FILE
        try:
            write_results(folder, repo_id=folder.name, results=[result])
        except RecrlError as error:  # the result stands, whatever else is in the folder
            show(f"the card {card} was left as it is: {error}", error=True)
        else:
            _show_beside(f"the card {card} names this result", config.format)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TableSettings, ComparisonConfig):
    """What is shown."""

    plots: bool = field(default=True, metadata={"help": "Draw the pictures, if matplotlib is installed."})


def compare(config: CompareConfig) -> None:
    from recrl.evaluation import comparison
    from recrl.evaluation.comparison_plots import draw_comparison
    from recrl.evaluation.comparison_tables import comparison_table
    from recrl.reports.making import end_with_report

    quiet_libraries()
    plots = config.plots and find_spec("matplotlib") is not None
    if config.plots and not plots:
        show(
            "no pictures are drawn beside the report: `pip install matplotlib` for them, or say --no_plots", error=True
        )
    draw = draw_comparison if plots else lambda report, folder: []
    for group in comparison.equal_weights(config.policies):
        show(f"warning: {' and '.join(group)} have the same weights; differences between them are chance", error=True)
    report = comparison.compare(part(config, ComparisonConfig), draw=draw)
    end_with_report(config.output_dir, ProgressLine().say)
    print_tables([comparison_table(report)], config.format)


def show_episode(config: ShowConfig) -> None:
    from recrl.reports import showing

    quiet_libraries()
    showing.show(config, wait=showing.wait_for_enter)


def report(config: ReportConfig) -> None:
    from recrl.reports.making import make_report

    quiet_libraries()
    written = make_report(config)
    show(f"the report is {written} ({written.stat().st_size / 1e6:.1f} MB); open it in a browser")


@dataclass(frozen=True, kw_only=True)
class EvaluateSearchConfig(TableSettings, SearchEvaluationConfig):
    """How the report is printed."""


def evaluate_search(config: EvaluateSearchConfig) -> None:
    from recrl.evaluation.commands import run_search_evaluation
    from recrl.evaluation.search import search_tables

    quiet_libraries()
    report = run_search_evaluation(part(config, SearchEvaluationConfig))
    print_tables(search_tables(report), config.format)


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """What is verified."""

    path: str = field(
        metadata={
            "help": "Folder or file that recrl has written, or the Hub id of a model or dataset.",
            "positional": True,
        }
    )


def verify(config: VerifyConfig) -> None:
    from recrl.verifying import verify

    found = verify(config.path)
    for one in found:
        show(f"{one.path}: {one.what}{'' if one.damage else ', unaltered' if one.checked else ''}")
        for text in one.damage:
            show(f"  damaged: {text}")
        if one.damage:
            show(f"  to do: {one.again}")
    damaged = sum(bool(one.damage) for one in found)
    if damaged:
        raise DatasetError(f"{config.path} is damaged in {damaged} of {len(found)} places; what to do stands above")


@dataclass(frozen=True, kw_only=True)
class RecipeListConfig:
    """Nothing can be set."""


def recipe_list(config: RecipeListConfig) -> None:
    from recrl.recipes import recipe_of
    from recrl.shipped import RECIPES, about, shipped_files, shipped_folder

    for name, path in shipped_files(RECIPES).items():
        recipe = recipe_of(name)
        start = f"recrl train {recipe.name}" if recipe else f"python {shipped_folder(RECIPES) / 'paper.py'}"
        command = f"{start} --config {name}"
        show(f"{name}\n    {about(path)}\n    {command}")


@dataclass(frozen=True, kw_only=True)
class RecipeCopyConfig:
    """What is copied, and where it goes."""

    name: str = field(
        metadata={"help": "A name of `recrl recipe list`; all: every file, with scripts.", "positional": True}
    )
    output_dir: str = field(default=".", metadata={"help": "Folder that the files are written to."})


def recipe_copy(config: RecipeCopyConfig) -> None:
    from recrl.shipped import copy_shipped

    for path in copy_shipped(config.name, config.output_dir):
        show(f"wrote {path}")


@dataclass(frozen=True, kw_only=True)
class ConvertCheckpointConfig:
    """What is converted."""

    checkpoint: str = field(
        metadata={"help": "File in the layout of WebShop's choice_il_epoch9.pth.", "positional": True}
    )
    output_dir: str = field(metadata={"help": "Folder of the scorer."})
    tokenizer_name_or_path: str | None = field(
        default=None, metadata={"help": "Tokenizer, by Hub id or folder; without it bert-base-uncased."}
    )
    pad_attention: str = field(
        default="original",
        metadata={
            "help": "Whether attention sees padding: as in the original, or masked.",
            "choices": ("original", "masked"),
        },
    )


def convert_checkpoint(config: ConvertCheckpointConfig) -> None:
    from recrl.scoring.published import TOKENIZER, convert_published

    quiet_libraries()
    notes = convert_published(
        config.checkpoint,
        config.output_dir,
        tokenizer=config.tokenizer_name_or_path or TOKENIZER,
        pad_attention=config.pad_attention,
    )
    for name, reason in notes.items():
        show(f"{'made' if name == 'value_head' else 'left out'} {name}: {reason}")
    show(f"wrote {config.output_dir}; evaluate it with `recrl evaluate --policy {config.output_dir}`")

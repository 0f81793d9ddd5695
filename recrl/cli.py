"""The command line: parses, calls, prints.

Exit codes: 0 done; 2 bad usage or input; 130 interrupted; 1 whoever read the output left before its end.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from recrl.errors import RecrlError
from recrl.queries.proposing import DEFAULT_NUM_QUERIES
from recrl.terminal import Parser, ProgressLine, seed
from recrl.version import __version__

KEPT = "what was done is kept: run the same command again to go on"
NOT_KEPT = "nothing was written: run the same command again from the start"


def _catalog_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--catalog", help="folder with raw WebShop files or a built catalogue; without it the embedded catalogue"
    )
    parser.add_argument("--goal_seed", type=seed, default=0, help="seed of price draws and price bounds")
    parser.add_argument("--human_goals", action="store_true", help="crowd-sourced instructions instead of synthetic")


def _policy_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy",
        required=True,
        help="random, rule, matching, matching-price, reader[:K], demonstrator, a checkpoint's folder, a Hub id, or "
        "module:function",
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="of a checkpoint's sampling")
    parser.add_argument("--loop_guard", action="store_true", help="a checkpoint never repeats an action at equal pages")
    parser.add_argument("--batch_size", type=int, default=16, help="environments side by side; changes no result")
    parser.add_argument("--max_steps", type=int, default=15, help="actions until an episode is truncated")
    parser.add_argument("--seed", type=seed, default=0, help="of goals and actions")


def _query_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--query_model", help="proposes queries, by folder or Hub id; without it the plain instruction")
    parser.add_argument("--num_queries", type=int, default=DEFAULT_NUM_QUERIES, help="queries that it proposes")


def make_parser() -> Parser:
    """The parser of ``recrl`` with its sub-commands."""
    parser = Parser(prog="recrl", description="Fine-tune agents that shop and recommend, from very little data.")
    parser.add_argument("--version", action="version", version=f"recrl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True, parser_class=Parser)

    def command(
        group: Any, name: str, run: Callable[[argparse.Namespace], None], text: str, interrupted: str = NOT_KEPT
    ) -> argparse.ArgumentParser:
        made = group.add_parser(name, help=text.replace("%", "%%"), description=text)
        made.set_defaults(run=run, interrupted=interrupted)
        return made

    quickstart = command(
        commands, "quickstart", _quickstart, "demonstrations, imitation, own trajectories, DPO, evaluation, table", KEPT
    )
    quickstart.add_argument("--output_dir", default="runs/quickstart", help="the run's folder; go on by repeating")
    quickstart.add_argument("--catalog", help="raw WebShop files or a built catalogue; without it the embedded one")
    quickstart.add_argument("--split_by", choices=("goal", "product"), default="product", help="what splits share not")
    quickstart.add_argument("--uniform_goals", action="store_true", help="training goals uniformly, not by weight")
    quickstart.add_argument("--model_name_or_path", help="encoder by Hub id or folder; without it MiniLM-L6")
    quickstart.add_argument("--seed", type=seed, default=0, help="of everything random")
    quickstart.add_argument("--num_demonstrations", type=int, default=100, help="episodes that imitation learns from")
    quickstart.add_argument("--num_trajectories", type=int, default=100, help="own episodes that DPO learns from")
    quickstart.add_argument("--num_eval_episodes", type=int, help="test goals; without it 200, with --catalog all")
    quickstart.add_argument("--imitation_epochs", type=float, default=3.0, help="passes over the demonstrations")
    quickstart.add_argument("--dpo_epochs", type=float, default=2.0, help="passes over the preference pairs")
    quickstart.add_argument("--num_frozen_layers", type=int, default=3, help="lowest encoder layers left untrained")
    quickstart.add_argument("--bf16", action="store_true", help="bf16 training, faster where the hardware has it")
    quickstart.add_argument("--tiny", action="store_true", help="under a minute, with a model that knows nothing")

    catalog = commands.add_parser("catalog", help="build, make up or describe a catalogue")
    actions = catalog.add_subparsers(title="actions", metavar="action", required=True, parser_class=Parser)
    build = command(actions, "build", _catalog_build, "build a catalogue from a folder with raw WebShop files", KEPT)
    build.add_argument("raw_folder", help="holds items_shuffle[_1000].json and items_ins_v2[_1000].json, plain or .gz")
    build.add_argument("--output_dir", required=True, help="the built catalogue's folder")
    build.add_argument("--num_products", type=int, help="the first N raw products only")
    build.add_argument("--skip_invalid", action="store_true", help="leave out bad records and list them, do not stop")
    build.add_argument("--num_workers", type=int, help="processes; without it one per core, for a small file one")
    synth = command(actions, "synth", _catalog_synth, "write a made-up catalogue in the raw WebShop format")
    synth.add_argument("--num_products", type=int, default=1000, help="number of products")
    synth.add_argument("--seed", type=seed, default=0, help="of all texts, prices and options")
    synth.add_argument("--output_dir", required=True, help="the folder that takes the raw files")
    fetch = command(actions, "download", _catalog_download, "fetch the published WebShop files from the Hub", KEPT)
    fetch.add_argument("which", choices=("1000", "full"), help="1,000 products (10 MB) or 1.18 million (5.7 GB)")
    fetch.add_argument("--output_dir", required=True, help="takes the raw files; go on by repeating the command")
    fetch.add_argument("--hub_dataset_id", help="dataset with the files; without it a public copy")
    info = command(actions, "info", _catalog_info, "counts and fingerprints of a catalogue")
    info.add_argument("catalog", nargs="?", help="raw or built folder; without it the embedded catalogue")
    info.add_argument("--goal_seed", type=seed, default=0, help="seed of price draws and price bounds")
    info.add_argument("--human_goals", action="store_true", help="crowd-sourced instructions instead of synthetic")

    shop = command(commands, "shop", _shop, "play an episode by hand in the terminal")
    _catalog_flags(shop)
    shop.add_argument("--split", choices=("train", "dev", "test", "all"), default="train", help="goals to draw from")
    shop.add_argument("--split_by", choices=("goal", "product"), default="goal", help="what splits share not")
    shop.add_argument("--goal_index", type=int, help="the goal to play; without it one is drawn")
    shop.add_argument("--max_steps", type=int, default=15, help="actions until the episode is truncated")
    shop.add_argument("--seed", type=seed, default=0, help="of the goal")
    _query_flags(shop)

    generate = command(
        commands, "generate-trajectories", _generate, "collect a policy's episodes as a `datasets` dataset", KEPT
    )
    _policy_flags(generate)
    _catalog_flags(generate)
    _query_flags(generate)
    generate.add_argument("--split", choices=("train", "dev", "test", "all"), default="train", help="goals to play")
    generate.add_argument("--split_by", choices=("goal", "product"), default="goal", help="what splits share not")
    generate.add_argument("--num_trajectories", type=int, default=100, help="episodes to keep")
    generate.add_argument("--min_reward", type=float, default=1.0, help="an episode below it is not kept (0 to 1)")
    generate.add_argument("--max_episodes", type=int, help="most episodes to play; without it 100 for each kept one")
    generate.add_argument("--rollouts_per_goal", type=int, default=1, help="episodes of each goal, one after another")
    generate.add_argument("--uniform_goals", action="store_true", help="draw goals uniformly, not by their weights")
    generate.add_argument("--no_prune", action="store_true", help="keep the loops of the kept episodes")
    generate.add_argument("--output_dir", required=True, help="the dataset's folder; go on by repeating the command")
    generate.add_argument("--push_to_hub", action="store_true", help="push the dataset when it is complete")
    generate.add_argument("--hub_dataset_id", help="user/name of the dataset on the Hub")

    pairing = command(commands, "build-preferences", _build_preferences, "trajectories as preference pairs, and counts")
    pairing.add_argument("--trajectories", required=True, help="folder of generate-trajectories, or a Hub id")
    pairing.add_argument("--policy", required=True, help="checkpoint of the reference policy, by folder or Hub id")
    pairing.add_argument(
        "--pairs",
        nargs="+",
        default=["steps"],
        help="how: steps (an action against one drawn from the policy), contrasts (against one with a worse outcome on "
        "the same page), trajectories (an episode against a worse one of its goal); see recrl/preferences/builders.py",
    )
    pairing.add_argument("--num_trajectories", type=int, help="the first N only; without it all")
    pairing.add_argument("--min_reward", type=float, default=1.0, help="lowest reward of what is chosen (0 to 1)")
    pairing.add_argument("--weight_by_margin", action="store_true", help="pairs weigh the difference of outcomes")
    pairing.add_argument("--seed", type=seed, default=0, help="of the rejected actions' draws")
    pairing.add_argument("--output_dir", required=True, help="the pairs' folder, for recipes/dpo.py --preferences")
    pairing.add_argument("--output_json", help="file for the counts")
    counted = command(commands, "describe-preferences", _describe_preferences, "counts about preference pairs")
    counted.add_argument("preferences", help="folder of build-preferences, or `preferences` of a DPO run")
    counted.add_argument("--output_json", help="file for the counts")

    evaluate = command(commands, "evaluate", _evaluate, "one episode per test goal, with 95% intervals")
    _policy_flags(evaluate)
    _catalog_flags(evaluate)
    _query_flags(evaluate)
    evaluate.add_argument("--split", choices=("train", "dev", "test", "all"), default="test", help="goals to play")
    evaluate.add_argument("--split_by", choices=("goal", "product"), default="goal", help="what splits share not")
    evaluate.add_argument("--num_episodes", type=int, help="the first N goals; without it all goals of the split")
    evaluate.add_argument("--decoding", choices=("greedy", "sample"), default="greedy", help="how actions are chosen")
    evaluate.add_argument("--output_json", help="file for the result with all episodes")
    evaluate.add_argument("--baseline", help="result file on the same goals, for the paired difference")

    contest = command(commands, "compare", _compare, "agents side by side, episodes allotted by Thompson's rule", KEPT)
    contest.add_argument("--policies", nargs="+", required=True, help="at least two; each as --policy of evaluate")
    _catalog_flags(contest)
    _query_flags(contest)
    contest.add_argument("--output_dir", required=True, help="journal, report and pictures; go on by repeating")
    contest.add_argument("--split", choices=("train", "dev", "test", "all"), default="test", help="goals to draw from")
    contest.add_argument("--split_by", choices=("goal", "product"), default="goal", help="what splits share not")
    contest.add_argument("--num_episodes", type=int, default=1000, help="of each run, all agents together")
    contest.add_argument("--runs", type=int, default=3, help="independent runs")
    contest.add_argument("--allocation", choices=("thompson", "uniform"), default="thompson", help="who plays")
    contest.add_argument("--objective", choices=("success", "score"), default="success", help="what is to be best")
    contest.add_argument("--decoding", choices=("greedy", "sample"), default="greedy", help="how actions are chosen")
    contest.add_argument("--prior_alpha", type=float, default=1.0, help="of the Beta prior")
    contest.add_argument("--prior_beta", type=float, default=1.0, help="of the Beta prior")
    contest.add_argument("--exploration", type=float, default=0.2, help="share of episodes that is allotted uniformly")
    contest.add_argument("--round_size", type=int, default=20, help="episodes between two looks at the outcomes")
    contest.add_argument("--stop_at_probability", type=float, help="a run ends when one agent is the best so surely")
    contest.add_argument("--allow_other_catalog", action="store_true", help="agents trained on another catalogue too")
    contest.add_argument("--max_steps", type=int, default=15, help="actions until an episode is truncated")
    contest.add_argument("--batch_size", type=int, default=16, help="environments side by side; changes no result")
    contest.add_argument("--seed", type=seed, default=0, help="of goals, allotment and actions")
    contest.add_argument("--format", choices=("md", "latex", "csv", "json"), default="md", help="of what is printed")
    contest.add_argument("--no_plots", action="store_true", help="no pictures")

    search = command(commands, "evaluate-search", _evaluate_search, "what a query model proposes, and what it finds")
    search.add_argument("--query_model", required=True, help="the model, by folder or Hub id")
    search.add_argument("--num_queries", type=int, default=DEFAULT_NUM_QUERIES, help="queries that it proposes")
    search.add_argument(
        "--pairs", required=True, help="instructions with typed queries, as recipes/search.py reads them"
    )
    _catalog_flags(search)
    search.add_argument("--split", choices=("train", "dev", "test", "all"), default="test", help="goals to search for")
    search.add_argument("--split_by", choices=("goal", "product"), default="goal", help="what splits share not")
    search.add_argument("--num_goals", type=int, help="the first N goals; without it all goals of the split")
    search.add_argument("--output_json", help="file for the report with all proposals")

    convert = command(commands, "convert-checkpoint", _convert, "WebShop's published choice model as a scorer")
    convert.add_argument("checkpoint", help="file in the layout of choice_il_epoch9.pth")
    convert.add_argument("--output_dir", required=True, help="the scorer's folder")
    convert.add_argument("--tokenizer_name_or_path", help="by Hub id or folder; without it bert-base-uncased")
    convert.add_argument(
        "--pad_attention", choices=("original", "masked"), default="original", help="whether padding counts, as it did"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in ("httpx", "httpx2", "datasets", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parsed = make_parser().parse_args(arguments)
    try:
        parsed.run(parsed)
        sys.stdout.flush()
    except RecrlError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"interrupted; {parsed.interrupted}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has read enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        sys.exit(1)


def _quiet_libraries() -> None:
    """Leaves the terminal to our own progress."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _proposer(arguments: argparse.Namespace) -> Any:
    """The query model that the flags name, or None."""
    if arguments.query_model is None:
        return None
    from recrl.queries.proposing import load_queries

    _quiet_libraries()
    return load_queries(arguments.query_model, arguments.num_queries)


def _quickstart(arguments: argparse.Namespace) -> None:
    from recrl.quickstart import QuickstartConfig, run_quickstart

    _quiet_libraries()
    line = ProgressLine()
    settings = {name: value for name, value in vars(arguments).items() if name not in ("run", "interrupted")}
    table = run_quickstart(QuickstartConfig(**settings), say=line.say)
    line.end()
    print(table)


def _catalog_build(arguments: argparse.Namespace) -> None:
    from recrl.webshop.building import SKIPPED_FILE, build_catalog
    from recrl.webshop.sealed import read_sealed

    line = ProgressLine()
    folder = build_catalog(
        arguments.raw_folder,
        arguments.output_dir,
        num_products=arguments.num_products,
        skip_invalid=arguments.skip_invalid,
        num_workers=arguments.num_workers,
        say=line.say,
    )
    line.end()
    manifest = read_sealed(folder)
    print(f"built {folder}: {manifest['num_products']} products of {manifest['num_records']} records")
    if manifest["num_skipped"]:
        print(f"left out {manifest['num_skipped']} invalid records; the reasons are in {folder / SKIPPED_FILE}")


def _catalog_synth(arguments: argparse.Namespace) -> None:
    from recrl.webshop.synthetic import write_raw

    write_raw(arguments.output_dir, arguments.num_products, arguments.seed)
    print(f"wrote {arguments.num_products} products in the raw format to {arguments.output_dir}")


def _catalog_download(arguments: argparse.Namespace) -> None:
    from recrl.webshop.download import HUB_DATASET_ID, download_catalog

    folder = download_catalog(
        arguments.which,
        arguments.output_dir,
        hub_dataset_id=arguments.hub_dataset_id or HUB_DATASET_ID,
        say=ProgressLine().say,
    )
    print(f"the files are in {folder}; use them with --catalog {folder}, or build them with `recrl catalog build`")


def _catalog_info(arguments: argparse.Namespace) -> None:
    from recrl.webshop.catalog import catalog_info, load_catalog

    catalog = load_catalog(arguments.catalog, goal_seed=arguments.goal_seed, human_goals=arguments.human_goals)
    print(json.dumps(catalog_info(catalog), indent=2, ensure_ascii=False))


def _shop(arguments: argparse.Namespace) -> None:
    from recrl.shop import shop

    names = ("catalog", "goal_seed", "human_goals", "split", "split_by", "max_steps")
    settings = {name: getattr(arguments, name) for name in names}
    if arguments.query_model is not None:
        settings["queries"] = _proposer(arguments)
    shop(settings, goal_index=arguments.goal_index, seed=arguments.seed)


def _generate(arguments: argparse.Namespace) -> None:
    from recrl.errors import ConfigError
    from recrl.rollouts.collecting import TrajectoryConfig, generate_trajectories

    if arguments.push_to_hub != bool(arguments.hub_dataset_id):
        raise ConfigError("--push_to_hub and --hub_dataset_id user/name go together; give both or neither")
    _quiet_libraries()
    left_out = ("run", "interrupted", "no_prune", "push_to_hub", "hub_dataset_id")
    settings = {name: value for name, value in vars(arguments).items() if name not in left_out}
    line = ProgressLine()
    summary = generate_trajectories(
        TrajectoryConfig(prune=not arguments.no_prune, **settings), progress=lambda progress: line(str(progress))
    )
    line.end()
    print(
        f"kept {summary['num_trajectories']} of {summary['num_episodes']} episodes "
        f"(success {summary['success_rate']:.1f}%, protocol {summary['protocol']}) in {arguments.output_dir}"
    )
    if arguments.push_to_hub:
        from recrl.publishing.push import push_dataset

        print(f"pushed to {push_dataset(arguments.output_dir, arguments.hub_dataset_id)}")


def _build_preferences(arguments: argparse.Namespace) -> None:
    from recrl.preferences.building import PairingConfig, write_pairs

    _quiet_libraries()
    left_out = ("run", "interrupted", "output_dir", "output_json", "pairs")
    settings = {name: value for name, value in vars(arguments).items() if name not in left_out}
    summary = write_pairs(PairingConfig(pairs=tuple(arguments.pairs), **settings), arguments.output_dir)
    _show_pairs(summary, arguments.output_json)
    print(f"wrote {arguments.output_dir}; train on it with recipes/dpo.py --preferences {arguments.output_dir}")


def _describe_preferences(arguments: argparse.Namespace) -> None:
    from recrl.preferences.building import read_pairs

    _show_pairs(read_pairs(arguments.preferences), arguments.output_json)


def _show_pairs(summary: dict[str, Any], output_json: str | None) -> None:
    from recrl.files import write_json
    from recrl.preferences.counts import statistics_table

    statistics_table(summary).print()
    for reason, count in summary.get("left_out", {}).items():
        print(f"left out: {count} {reason}")
    if output_json:
        write_json(output_json, summary)


def _evaluate(arguments: argparse.Namespace) -> None:
    from recrl.evaluation.measure import check_result_path, evaluate
    from recrl.evaluation.results import load_result, save_result
    from recrl.evaluation.tables import comparison_lines, print_table
    from recrl.policies.loading import load_policy
    from recrl.webshop.catalog import load_catalog

    if arguments.output_json:
        check_result_path(arguments.output_json)
    baseline = load_result(arguments.baseline) if arguments.baseline else None
    catalog = load_catalog(arguments.catalog, goal_seed=arguments.goal_seed, human_goals=arguments.human_goals)
    policy = load_policy(arguments.policy, temperature=arguments.temperature, loop_guard=arguments.loop_guard)
    queries = _proposer(arguments)
    line = ProgressLine()
    result = evaluate(
        policy,
        catalog,
        split=arguments.split,
        split_by=arguments.split_by,
        num_episodes=arguments.num_episodes,
        decoding=arguments.decoding,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        max_steps=arguments.max_steps,
        baseline=baseline,
        progress=line.count,
        queries=queries,
    )
    line.end()
    if arguments.output_json:
        save_result(arguments.output_json, result)
    results = {policy.name: result}
    if baseline is not None:
        results[f"baseline: {baseline.policy}"] = baseline
    print_table(results)
    if result.comparison is not None:
        print("\n".join(comparison_lines(result.comparison)))


def _compare(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from recrl.evaluation.comparison import ComparisonConfig, compare
    from recrl.evaluation.comparison_plots import draw_comparison
    from recrl.evaluation.comparison_tables import comparison_table
    from recrl.files import write_text

    _quiet_libraries()
    left_out = ("run", "interrupted", "format", "no_plots", "policies")
    settings = {name: value for name, value in vars(arguments).items() if name not in left_out}
    line = ProgressLine()
    report = compare(ComparisonConfig(policies=tuple(arguments.policies), **settings), progress=line.say)
    line.end()
    write_text(Path(arguments.output_dir) / "table.md", comparison_table(report, "md"))
    if not arguments.no_plots:
        draw_comparison(report, Path(arguments.output_dir))
    if arguments.format == "json":
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print(comparison_table(report, arguments.format))


def _evaluate_search(arguments: argparse.Namespace) -> None:
    from recrl.evaluation.measure import check_result_path
    from recrl.evaluation.search import evaluate_search, report_tables
    from recrl.files import write_json
    from recrl.queries.pairs import load_pairs
    from recrl.queries.proposing import QueryModel
    from recrl.webshop.catalog import load_catalog

    _quiet_libraries()
    if arguments.output_json:
        check_result_path(arguments.output_json)
    pairs = load_pairs(arguments.pairs)
    catalog = load_catalog(arguments.catalog, goal_seed=arguments.goal_seed, human_goals=arguments.human_goals)
    model = QueryModel.from_pretrained(arguments.query_model, num_queries=arguments.num_queries)
    line = ProgressLine()
    report = evaluate_search(
        model,
        pairs,
        catalog,
        split=arguments.split,
        split_by=arguments.split_by,
        num_goals=arguments.num_goals,
        progress=lambda done, total: line(f"{done}/{total} texts"),
    )
    line.end()
    if arguments.output_json:
        write_json(arguments.output_json, report)
    print(report_tables(report))


def _convert(arguments: argparse.Namespace) -> None:
    from recrl.scoring.published import TOKENIZER, convert_published

    _quiet_libraries()
    notes = convert_published(
        arguments.checkpoint,
        arguments.output_dir,
        tokenizer=arguments.tokenizer_name_or_path or TOKENIZER,
        pad_attention=arguments.pad_attention,
    )
    for name, reason in notes.items():
        print(f"{'made' if name == 'value_head' else 'left out'} {name}: {reason}")
    print(f"wrote {arguments.output_dir}; evaluate it with `recrl evaluate --policy {arguments.output_dir}`")

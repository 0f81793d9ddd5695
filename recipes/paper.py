# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["recrl"]
# ///
"""The whole experiment: every arm with every seed, evaluated on fixed goals, as one table with intervals.

    python recipes/paper.py --config recipes/paper_webshop_1k.yaml --budget_minutes 120

Interrupt it when you like, or give it a budget: the same command goes on. --tiny makes the whole road in two minutes,
--arms chooses arms, --write_docs docs writes what is there into docs/results.json and docs/results.md. Every key of the
YAML file is also a flag; `--help` lists them all.
"""

from typing import Any

from recrl.training.recipe import run_recipe


def make_parser() -> Any:
    """The recipe's parser: the experiment's settings, among them a mapping for each kind of stage."""
    from trl import TrlParser

    from recrl.experiment.config import PaperConfig

    return TrlParser((PaperConfig,))


def main() -> None:
    """Parses, makes what is missing as far as the budget goes, and says what is still missing."""
    import logging
    from pathlib import Path

    from recrl.experiment.paper import read_report, run_paper, write_docs
    from recrl.experiment.report import report_tables
    from recrl.reports.making import end_with_report
    from recrl.tables import print_tables
    from recrl.terminal import ProgressLine, quiet_libraries
    from recrl.training.recipe import parse_recipe

    [config] = parse_recipe(make_parser())
    quiet_libraries()
    logging.getLogger("recrl.training.progress").setLevel(logging.WARNING)  # a line a stage is enough
    line = ProgressLine()
    if config.write_docs is not None:
        missing, written = write_docs(config, Path(config.write_docs)), Path(config.write_docs)
    else:
        missing, written = run_paper(config, say=line.say), Path(config.output_dir)
        end_with_report(written, line.say)
    print_tables(report_tables(read_report(config)), config.format)
    line.say(f"{written / 'results.md'} holds the report")
    if missing:
        shown = "\n".join(f"- {name}" for name in missing)
        line.say(f"{len(missing)} stages are missing; the same command goes on from here:\n{shown}")


if __name__ == "__main__":
    run_recipe(main)

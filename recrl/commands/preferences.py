"""`recrl build-preferences`, `recrl describe-preferences` and `recrl export`: what is trained on."""

from dataclasses import dataclass, field
from typing import Any

from recrl.preferences.config import PairingConfig
from recrl.preferences.exporting import ExportConfig
from recrl.settings import part
from recrl.tables import TableSettings, print_tables, show_beside
from recrl.terminal import quiet_libraries


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
    show_beside(f"wrote {config.output_dir}; train on it with `{command}`", config.format)


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
    template = config.chat_template or f"of {config.model}"
    print(
        f"wrote {summary['num_rows']} rows to {config.output_dir}: {summary['mean_tokens']:.0f} tokens on average, "
        f"{summary['longest_tokens']} the longest, under the chat template {template}"
    )
    for reason, count in summary["left_out"].items():
        print(f"left out: {count} {reason}")
    for what, count in summary["cut"].items():
        print(f"cut to max_prompt_tokens={config.max_prompt_tokens}: {what}, in {count} rows")


def _show_pairs(summary: dict[str, Any], output_json: str | None, form: str) -> None:
    from recrl.files import write_json
    from recrl.preferences.counts import statistics_table

    print_tables([statistics_table(summary)], form)
    if output_json:
        write_json(output_json, summary)

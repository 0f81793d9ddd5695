"""Rows for TRL: what `recrl export` does."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError, ConfigError, DatasetError, HubError
from recrl.files import replace_folder
from recrl.language.choices import CHAT_TEMPLATE_HELP, MOST_WORDS, MOST_WORDS_HELP
from recrl.seals import seal_folder, write_sealed_json
from recrl.settings import check_at_least, check_values

FORMATS = ("messages", "prompt_completion", "preference")
UNITS = ("decision", "episode")
EXPORT_FILE = "export.json"  # beside the rows: settings, counts, and what they were made of


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What is written, and how."""

    source: str = field(
        metadata={
            "help": "Trajectory dataset (a folder of `recrl generate-trajectories`, or a Hub id); for preference rows "
            "a folder of `recrl build-preferences`.",
            "positional": True,
        }
    )
    model: str = field(
        metadata={"help": "Model whose chat template and tokenizer count the tokens, by folder or Hub id."}
    )
    output_dir: str = field(metadata={"help": "Folder of the rows, which `datasets.load_from_disk` opens."})
    format: str | None = field(
        default=None,
        metadata={
            "help": "Columns: messages, prompt and completion, or prompt, chosen and rejected. Without it prompt and "
            "completion of decisions, and messages of episodes.",
            "choices": FORMATS,
        },
    )
    unit: str = field(
        default="decision",
        metadata={"help": "A row for each decision, or a conversation for each episode.", "choices": UNITS},
    )
    tools: bool = field(default=False, metadata={"help": "Write actions as calls of tools, as recipes/grpo.py plays."})
    most_words: int | None = field(default=MOST_WORDS, metadata=MOST_WORDS_HELP)
    chat_template: str | None = field(default=None, metadata=CHAT_TEMPLATE_HELP)
    max_prompt_tokens: int = field(default=1024, metadata={"help": "Most tokens of the prompt that tells a decision."})
    max_tokens: int = field(
        default=4096, metadata={"help": "Most tokens of a row; longer ones are left out and counted."}
    )
    notes: bool = field(default=True, metadata={"help": "Tell earlier actions, and what was read of opened products."})
    num_trajectories: int | None = field(
        default=None, metadata={"help": "Use the first N episodes or pairs only; without it all."}
    )

    def __post_init__(self) -> None:
        check_values(self)
        check_form(self.form, self.unit, self.tools)
        check_at_least(self, 0, "most_words")
        check_at_least(self, 1, "max_prompt_tokens", "max_tokens", "num_trajectories")

    @property
    def form(self) -> str:
        """The columns, chosen or not."""
        return self.format or ("messages" if self.unit == "episode" else "prompt_completion")


def check_form(form: str, unit: str, tools: bool) -> None:
    """Raises ConfigError for a combination that does not exist."""
    if form not in FORMATS:
        raise ConfigError(f"format={form!r}, expected one of {', '.join(FORMATS)}")
    if unit not in UNITS:
        raise ConfigError(f"unit={unit!r}, expected one of {', '.join(UNITS)}")
    if form == "prompt_completion" and unit == "episode":
        raise ConfigError(
            "an episode as prompt and completion would be trained on its pages too; take --format messages, and TRL's "
            "assistant_only_loss"
        )
    if tools and (unit != "episode" or form == "preference"):
        raise ConfigError("tools are for conversations of episodes; add --unit episode, and leave out preference rows")


def tokenizer_of(source: str) -> Any:
    """A model's tokenizer alone.

    Raises:
        CheckpointError: it cannot be had.
    """
    from recrl.hub import find_source
    from recrl.pretrained import load_tokenizer, refused

    with refused(CheckpointError, f"expected a model with a tokenizer, by folder or Hub id, got {source!r}"):
        try:
            return load_tokenizer(find_source(source))
        except HubError as error:
            raise ValueError(str(error)) from error


def first(items: Sequence[Any], number: int | None, source: str) -> list[Any]:
    """The first of what a dataset holds.

    Raises:
        DatasetError: it holds fewer.
    """
    if number is None:
        return list(items)
    if number > len(items):
        raise DatasetError(f"num_trajectories={number}, but {source} holds {len(items)}; ask for fewer or collect more")
    return list(items[:number])


def export(config: ExportConfig) -> dict[str, Any]:
    """Writes rows with a summary beside them, all or nothing; returns the summary.

    Raises:
        DatasetError: the folder exists, the source cannot be read, or no row is left.
        CheckpointError: the model has no tokenizer or no chat template.
    """
    from recrl.episodes.data import load_episodes
    from recrl.episodes.training_goals import from_config, to_config, training_goals
    from recrl.language.chat import Chat, with_template
    from recrl.language.prompts import PromptSettings
    from recrl.language.tools import tool_schemas
    from recrl.preferences.building import TRAINED_ON, read_pairs
    from recrl.preferences.data import dataset_to_preferences, load_preferences
    from recrl.preferences.messages import Writer, check_rows, dataset_of

    output_dir = Path(config.output_dir)
    if output_dir.exists():
        raise DatasetError(f"{output_dir} exists; choose another --output_dir or remove it")
    tokenizer = tokenizer_of(config.model)
    with_template(tokenizer, config.chat_template)
    chat = Chat(tokenizer, name=repr(config.model), tools=tool_schemas() if config.tools else None)
    prompt = PromptSettings(config.max_prompt_tokens, config.notes)
    writer = Writer(chat, prompt, config.max_tokens, config.tools, config.most_words)
    sources: list[Any]
    if config.form == "preference":
        sources = first(dataset_to_preferences(load_preferences(config.source)), config.num_trajectories, config.source)
        made = writer.of_pairs(sources, unit=config.unit)
        trained_on = from_config(read_pairs(config.source)[TRAINED_ON])
    else:
        sources = first(load_episodes(config.source), config.num_trajectories, config.source)
        made = writer.of_episodes(sources, form=config.form, unit=config.unit)
        trained_on = training_goals(sources, config.source)
    check_rows(made)
    summary = {
        "config": {name: getattr(config, name) for name in config.__dataclass_fields__ if name != "output_dir"}
        | {"format": config.form},
        "chat_template_sha256": hashlib.sha256(chat.tokenizer.chat_template.encode()).hexdigest(),
        "num_sources": len(sources),
        "num_rows": len(made.rows),
        "mean_tokens": sum(made.tokens) / len(made.tokens),
        "longest_tokens": max(made.tokens),
        "cut": dict(made.cut),
        "left_out": dict(made.left_out),
        "protocol": "+".join(sorted({one.protocol for one in sources})),
        "catalog_sha256": "+".join(sorted({one.catalog_sha256 for one in sources})),
        "goals_sha256": "+".join(sorted({one.goals_sha256 for one in sources})),
        "trained_on": to_config(trained_on),
    }
    with replace_folder(output_dir) as temporary:
        dataset_of(made).save_to_disk(str(temporary))
        write_sealed_json(temporary / EXPORT_FILE, summary)
        seal_folder(temporary, "dataset of messages", command="recrl export")
    return summary

"""`recrl verify`, `recrl recipe` and `recrl convert-checkpoint`: files that are there already."""

from dataclasses import dataclass, field

from recrl.errors import DatasetError
from recrl.terminal import quiet_libraries, show


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

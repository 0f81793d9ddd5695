"""What `datasets` makes of our datasets is read like the originals, or refused with what was found."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, concatenate_datasets, disable_progress_bars, load_dataset, load_from_disk

from decision_data import colour_episode
from recrl.episodes.data import Episode, dataset_to_episodes, episodes_to_dataset, load_episodes
from recrl.errors import DatasetError
from recrl.importing.config import ImportConfig
from recrl.importing.trajectories import import_trajectories
from recrl.policies.loading import load_policy
from recrl.preferences.data import Move, Preference, dataset_to_preferences, load_preferences, preferences_to_dataset
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import load_catalog

pytestmark = pytest.mark.slow
disable_progress_bars()
Loader = Callable[[Path], list[Any]]


def preferences_of(path: Path) -> list[Preference]:
    return dataset_to_preferences(load_preferences(path))


def played() -> list[Episode]:
    """With probabilities that have more digits than JSON lines of `datasets` keep."""
    return list(rollout(load_policy("random"), load_catalog(), [0, 1, 2, 3, 4], seed=0, exact_probabilities=True))


def people() -> list[Episode]:
    """Nobody knows how probable their actions were; one bought nothing."""
    return [
        replace(
            episode, policy="people", steps=tuple(replace(s, log_prob=None, probabilities=()) for s in episode.steps)
        )
        for episode in rollout(load_policy("rule"), load_catalog(), [5, 6, 7], seed=0)
    ]


def pairs() -> list[Preference]:
    return [
        Preference(
            goal_index=number, catalog_sha256="c" * 64, goals_sha256="g" * 64, protocol="custom",
            instruction="i want it",
            chosen_moves=(Move([*colour_episode(number).decisions()][1], 5, -0.5),),
            rejected_moves=(Move([*colour_episode(number).decisions()][1], 0, -2.0),),
            chosen_outcome=1.0, rejected_outcome=None, origin="steps",
        )
        for number in range(4)
    ]  # fmt: skip


KINDS: dict[str, tuple[Callable[[], list[Any]], Callable[[list[Any]], Dataset], Loader]] = {
    "trajectories": (played, episodes_to_dataset, load_episodes),
    "imported": (people, episodes_to_dataset, load_episodes),
    "preferences": (pairs, preferences_to_dataset, preferences_of),
}


def rounded(value: Any) -> Any:
    """Episodes or pairs as plain values, numbers with 12 digits."""
    if is_dataclass(value):
        return {field.name: rounded(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return round(value, 12) if isinstance(value, float) else value


def of_even_goals(rows: list[Any]) -> list[Any]:
    return [row for row in rows if row.goal_index % 2 == 0]


def through_parquet(dataset: Dataset, folder: Path) -> Dataset:
    dataset.to_parquet(str(folder / "rows.parquet"))
    return Dataset.from_parquet(str(folder / "rows.parquet"), cache_dir=str(folder / "cache"))


def through_json(dataset: Dataset, folder: Path) -> Dataset:
    dataset.to_json(str(folder / "rows.jsonl"), double_precision=15)
    return Dataset.from_json(str(folder / "rows.jsonl"), cache_dir=str(folder / "cache"))


TRIPS: dict[str, tuple[Callable[[Dataset, Path], Dataset], Callable[[list[Any]], list[Any]]]] = {
    "selected": (lambda dataset, _: dataset.select([2, 0]), lambda rows: [rows[2], rows[0]]),
    "shuffled": (lambda dataset, _: dataset.select(range(3)).shuffle(seed=1), lambda rows: sorted(rows[:3], key=str)),
    "filtered": (
        lambda dataset, _: dataset.filter(lambda row: row["goal_index"] % 2 == 0),
        of_even_goals,
    ),
    "joined": (lambda dataset, _: concatenate_datasets([dataset, dataset]), lambda rows: rows + rows),
    "with a column of one's own": (
        lambda dataset, _: dataset.add_column("note", ["x"] * len(dataset)),
        lambda rows: rows,
    ),
    "columns in another order": (
        lambda dataset, _: dataset.select_columns(dataset.column_names[::-1]),
        lambda rows: rows,
    ),
    "through parquet": (through_parquet, lambda rows: rows),
    "through JSON lines": (through_json, lambda rows: rows),
}


@pytest.mark.parametrize("trip", TRIPS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_is_read_after(kind: str, trip: str, tmp_path: Path) -> None:
    make, store, load = KINDS[kind]
    rows, (travel, expected) = make(), TRIPS[trip]
    store(rows).save_to_disk(str(tmp_path / "first"))
    travel(load_from_disk(str(tmp_path / "first")), tmp_path).save_to_disk(str(tmp_path / "second"))
    found = load(tmp_path / "second")
    if trip == "shuffled":
        found.sort(key=str)
    if trip == "through JSON lines":  # which `datasets` writes with 15 digits at most
        found, rows = rounded(found), rounded(rows)
    assert found == expected(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    make, store, load = KINDS[kind]
    dataset = store(make())
    dataset.train_test_split(0.5, seed=0).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(DatasetError, match=r"holds the splits train, test; name one of them: \S+splits/train"):
        load(tmp_path / "splits")
    assert load(tmp_path / "splits" / "train")
    dataset.rename_column("goal_index", "goal").save_to_disk(str(tmp_path / "renamed"))
    with pytest.raises(DatasetError, match=r"lacks the columns goal_index; it has .*goal"):
        load(tmp_path / "renamed")
    dataset.select([]).save_to_disk(str(tmp_path / "empty"))
    with pytest.raises(DatasetError, match="it is empty"):
        load(tmp_path / "empty")
    DatasetDict({"train": dataset}).save_to_disk(str(tmp_path / "one split"))
    with pytest.raises(DatasetError, match="holds the splits train"):
        load(tmp_path / "one split")
    dataset.to_parquet(str(tmp_path / "rows.parquet"))
    with pytest.raises(DatasetError, match=r"rows\.parquet.*Dataset\.from_parquet"):
        load(tmp_path / "rows.parquet")
    dataset.to_json(str(tmp_path / "rows.jsonl"))
    with pytest.raises(DatasetError, match=r"rows\.jsonl.*Dataset\.from_json"):
        load(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_stream_are_read(kind: str, tmp_path: Path) -> None:
    make, store, _ = KINDS[kind]
    rows = make()
    store(rows).save_to_disk(str(tmp_path / "data"))
    files = str(tmp_path / "data" / "data-*.arrow")
    stream = load_dataset("arrow", data_files=files, split="train", streaming=True)
    read = dataset_to_preferences if kind == "preferences" else dataset_to_episodes
    assert list(read(stream)) == rows
    shuffled = stream.shuffle(seed=1, buffer_size=2).filter(lambda row: row["goal_index"] % 2 == 0)
    assert sorted(read(shuffled), key=str) == sorted(of_even_goals(rows), key=str)


def test_json_lines_of_episodes_are_imported(tmp_path: Path) -> None:
    """Those of `datasets`, too, whose numbers have ten digits."""
    rows = played()
    episodes_to_dataset(rows).to_json(str(tmp_path / "rows.jsonl"))
    settings = {"source": str(tmp_path / "rows.jsonl"), "format": "jsonl", "output_dir": str(tmp_path / "data")}
    assert import_trajectories(ImportConfig(**settings))["num_trajectories"] == len(rows)
    found = load_episodes(tmp_path / "data")
    assert [[step.action for step in one.steps] for one in found] == [
        [step.action for step in one.steps] for one in rows
    ]


def test_rows_of_messages_keep_their_texts(tmp_path: Path) -> None:
    messages = [
        [{"role": "user", "content": 'Zeilen\nund "Anführungen" <|im_end|>'}, {"role": "assistant", "content": "ok"}]
    ]
    dataset = Dataset.from_dict({"messages": messages * 3})
    for travel in (through_parquet, through_json):
        folder = tmp_path / travel.__name__
        folder.mkdir()
        assert json.loads(json.dumps(travel(dataset, folder)["messages"][:])) == messages * 3

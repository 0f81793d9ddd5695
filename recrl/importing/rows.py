"""Episodes of our own as JSON lines, one row a line, as ``Dataset.to_json`` writes a trajectory dataset."""

from collections.abc import Iterator
from pathlib import Path

from recrl.episodes.data import Episode, row_to_episode
from recrl.errors import DatasetError, PolicyError
from recrl.importing.recordings import (
    MisfitError,
    RecordedStep,
    Recording,
    read_records,
)

FORMAT = "jsonl"


def read_rows(source: Path) -> Iterator[tuple[str, Episode | MisfitError]]:
    """Name of each row -> its episode, or why it is none.

    Raises:
        DatasetError: there is no file, or it is of another format.
    """
    for name, record in read_records(source, FORMAT):
        if isinstance(record, MisfitError):
            yield name, record
            continue
        try:
            yield name, row_to_episode(record)
        except (DatasetError, PolicyError, TypeError, AttributeError) as error:
            yield name, MisfitError("a row is no episode", " ".join(str(error).split()))


def to_recording(name: str, episode: Episode) -> Recording:
    """What a replay needs to know of an episode.

    Raises:
        MisfitError: it ends without a purchase.
    """
    steps = tuple(RecordedStep(step.action, place) for place, step in enumerate(episode.steps))
    return Recording(
        name=name,
        instruction=episode.instruction,
        steps=steps,
        reward=episode.reward,
        goal_index=episode.goal_index,
    )

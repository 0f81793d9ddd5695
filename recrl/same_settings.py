"""Whether a run that goes on, or is asked for again, has the settings that are recorded of it.

A run's folder may be moved with what it was made from: settings that are paths are then compared by where they lie
beside the run's own folder.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recrl.errors import ConfigError

OUTPUT_DIR = "output_dir"
SHOWN_DIFFERENCES = 3  # settings that a refusal names; more are counted


def refuse_other_settings(
    holds: str, recorded: Mapping[str, Any], wanted: Mapping[str, Any], free: Sequence[str] = ()
) -> None:
    """Compares the settings of a run with those that are wanted now; one that is missing counts as switched off.

    Paths that lie beside ``output_dir`` as they did before are the same: all of it was moved.

    Args:
        holds: the beginning of the message: "runs/a holds an interrupted comparison".

    Raises:
        ConfigError: they differ in more than the free ones; both values are named.
    """
    wanted = json.loads(json.dumps(wanted))
    differences = [
        f"{name}={one!r}, not {other!r}"
        for name, one, other in _differences(recorded, wanted)
        if name not in free and not _is_moved(one, other, recorded, wanted)
    ]
    if differences:
        named = " and ".join(differences[:SHOWN_DIFFERENCES])
        more = len(differences) - SHOWN_DIFFERENCES
        raise ConfigError(
            f"{holds} with {named}{f' and {more} more differences' if more > 0 else ''}; use the same "
            "settings, choose another --output_dir or remove it"
        )


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of every field that differs, in groups too."""
    for name in dict.fromkeys([*other, *one]):
        values = one.get(name), other.get(name)
        if values[0] == values[1] or all(value is None or value is False for value in values):
            continue
        if all(value is None or isinstance(value, Mapping) for value in values):
            yield from _differences(*(value or {} for value in values))
        else:
            yield name, *values


def _is_moved(one: Any, other: Any, recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two values name the same place in a folder that was moved with the run in it: ``runs/a/shown``, recorded
    with the ``output_dir`` ``runs/a/trained``, and ``runs/b/shown``, wanted with ``runs/b/trained``.
    """
    places = _flat(recorded).get(OUTPUT_DIR), _flat(wanted).get(OUTPUT_DIR)
    if not all(isinstance(place, str) for place in places):
        return False
    before, now = (list(Path(str(place)).parts) for place in places)
    while min(len(before), len(now)) > 1 and before[-1] == now[-1]:
        before.pop()
        now.pop()
    start = re.compile(rf"(^|:){re.escape(str(Path(*before)))}(?=[/\\]|$)")  # "planner:runs/a/scorer" is a path too
    return bool(_moved(one, start, str(Path(*now))) == other)


def _moved(value: Any, start: re.Pattern[str], to: str) -> Any:
    """A value with another beginning of its paths."""
    if isinstance(value, list):
        return [_moved(inner, start, to) for inner in value]
    return start.sub(lambda found: found[1] + to, value) if isinstance(value, str) else value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without their groups."""
    groups = [value for value in settings.values() if isinstance(value, Mapping)]
    return {name: value for group in (*groups, settings) for name, value in group.items()}

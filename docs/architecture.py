"""Draws the rooms of the package and their imports, as they are in the code, into docs/architecture.svg.

    python docs/architecture.py                    # draws, and prints the counts
    python docs/architecture.py --package PATH     # draws nothing: prints another tree's counts beside this one's

A room is a sub-package, or a few modules at the top that belong together. `ROOMS` is their order: a room imports only
from rooms above it. tests/test_architecture.py holds the code to that order, and the picture to the code.
"""

import argparse
import ast
import colorsys
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "recrl"
PICTURE = ROOT / "docs" / "architecture.svg"

# What shares a line is one room.
TOOLS = (
    "terminal progress settings values tables pictures shipped same_settings runs hub pretrained saved_datasets "
    "verifying"
)
ROOMS = (
    "version signals errors files seals journals",
    TOOLS,
    "webshop",
    "environments",
    "episodes",
    "scoring",
    "queries",
    "language",
    "policies",
    "rollouts",
    "serving",
    "wrappers",
    "importing",
    "preferences",
    "evaluation",
    "training",
    "publishing",
    "reports",
    "experiment",
    "quickstart shop advising launching recipes",
    "commands",
    "cli __main__",
)
FLAT = "in no room"
ABOUT = {  # rooms without an __init__.py whose docstring would say it
    "version signals errors files seals journals": "Errors for bad input; files written whole or not at all.",
    TOOLS: "What any room may use: settings, runs, the Hub.",
    "quickstart shop advising launching recipes": "The whole way to a table; an episode by hand; recipes.",
    "cli __main__": "The command line: which commands there are, and how they end.",
}


def module_name(path: Path, package: Path) -> str:
    """``webshop/env.py`` -> "webshop.env"; the package's own ``__init__.py`` is ""."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(package: Path) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports, wherever in the file the import stands.

    The package's own ``__init__.py`` is left out: it names what users need, whichever room that is in.
    """
    paths = {name: path for path in sorted(package.rglob("*.py")) if (name := module_name(path, package))}
    return {name: _imports_of(path, package.name, paths) for name, path in paths.items()}


def _imports_of(path: Path, package: str, modules: Iterable[str]) -> set[str]:
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = {name for name in whole if name.removeprefix(f"{package}.") in modules}
            named |= inside if inside == whole else inside | {node.module}
    return {name.removeprefix(f"{package}.") for name in named if name.startswith(f"{package}.")}


def floor(module: str) -> int:
    """The place of a module's room in `ROOMS`.

    Raises:
        ValueError: it is in none of them.
    """
    top = module.split(".")[0]
    for place, rooms in enumerate(ROOMS):
        if top in rooms.split():
            return place
    raise ValueError(f"{module!r} is in no room; add {top!r} to ROOMS in docs/architecture.py, where it belongs")


def arrows_up(imports: Mapping[str, set[str]]) -> set[tuple[str, str]]:
    """Imports from a room further down the list: (module, what it imports)."""
    return {(one, other) for one, others in imports.items() for other in others if floor(other) > floor(one)}


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle, directly or through others."""
    reached = {name: _reachable(name, imports) for name in imports}
    groups = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in imports}
    return [list(group) for group in sorted(groups) if group]


def _reachable(module: str, imports: Mapping[str, set[str]]) -> set[str]:
    """What a module imports, directly or through others."""
    found: set[str] = set()
    waiting = list(imports[module])
    while waiting:
        name = waiting.pop()
        if name not in found and name in imports:
            found.add(name)
            waiting += imports[name]
    return found


def count_lines(package: Path) -> Counter[str]:
    """Room -> lines of its Python files; modules that are in no room of `ROOMS` count as `FLAT`."""
    counts: Counter[str] = Counter()
    for path in package.rglob("*.py"):
        name = module_name(path, package)
        try:
            room = ROOMS[floor(name)] if name else "__init__"
        except ValueError:
            room = FLAT
        counts[room] += len(path.read_text(encoding="utf-8").splitlines())
    return counts


# The picture: rooms from top to bottom on the left; to the right of each a lane that leads down from it past the rooms
# below, with a dot where one of them imports it. Lanes of upper rooms lie further right, so that they form a staircase.
LEFT, TOP, BOX_WIDTH, BOX_HEIGHT, GAP = 24, 84, 540, 58, 12
LANE_START, LANE_GAP = 40, 34
ROW = BOX_HEIGHT + GAP
OUT, INTO = -9, 9  # an importing room's line leaves its box above the middle, a lane enters the box below it
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
INK, GREY, LINE = "#1f2933", "#66727f", "#d5dbe1"


def draw(package: Path = PACKAGE) -> str:
    """The picture as SVG; equal code gives equal text."""
    imports, lines = read_imports(package), count_lines(package)
    rooms = [room for room in ROOMS if lines[room]]
    between = Counter(
        (ROOMS[floor(one)], ROOMS[floor(other)])
        for one, others in imports.items()
        for other in others
        if floor(one) != floor(other)
    )
    lanes = [room for room in rooms if any(target == room for _, target in between)]
    width = LEFT + BOX_WIDTH + LANE_START + len(lanes) * LANE_GAP + 16
    height = TOP + len(rooms) * ROW + 34
    middle = {room: TOP + place * ROW + BOX_HEIGHT // 2 for place, room in enumerate(rooms)}
    lane_at = {
        room: LEFT + BOX_WIDTH + LANE_START + (len(lanes) - 1 - place) * LANE_GAP for place, room in enumerate(lanes)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" role="img" aria-label="The rooms of {package.name} and their imports">',
        f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="38" font-size="19" font-weight="600" fill="{INK}">The rooms of {package.name}</text>',
        f'<text x="{LEFT}" y="61" font-size="12.5" fill="{GREY}">A room imports only from rooms above it. A number '
        "says how many imports lead from a room into the one where the lane begins.</text>",
    ]
    for room in rooms:
        parts += _rails(room, lanes, lane_at, middle, between)
    for room in lanes:
        parts += _lane(room, rooms, lane_at[room], middle, between)
    for place, room in enumerate(rooms):
        parts += _box(room, TOP + place * ROW, package, imports, lines[room], _colour(ROOMS.index(room)))
    up, closed = len(arrows_up(imports)), len(circles(imports))
    parts.append(
        f'<text x="{LEFT}" y="{height - 20}" font-size="12.5" fill="{GREY}">Imports against the order: {up}. '
        f"Circles: {closed}.</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _colour(place: int) -> str:
    """A colour of its own for each room, from green through blue to red; the first two, which all use, are grey."""
    if place < 2:
        return ("#9aa5b1", "#7b8794")[place]
    hue = (150 + 215 * (place - 2) / (len(ROOMS) - 3)) % 360
    channels = colorsys.hls_to_rgb(hue / 360, 0.45, 0.52)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _rails(
    room: str,
    lanes: Sequence[str],
    lane_at: Mapping[str, int],
    middle: Mapping[str, int],
    between: Mapping[tuple[str, str], int],
) -> list[str]:
    """The grey line from a room to the furthest lane from which it imports."""
    used = [lane_at[target] for target in lanes if between.get((room, target))]
    if not used:
        return []
    y = middle[room] + OUT
    return [f'<path d="M{LEFT + BOX_WIDTH} {y}H{max(used)}" stroke="{LINE}" stroke-width="1.2" fill="none"/>']


def _lane(
    room: str, rooms: Sequence[str], x: int, middle: Mapping[str, int], between: Mapping[tuple[str, str], int]
) -> list[str]:
    """A room's lane with its arrow into the room, and a dot where another room imports it."""
    users = [other for other in rooms if between.get((other, room))]
    colour, y, box = _colour(ROOMS.index(room)), middle[room] + INTO, LEFT + BOX_WIDTH
    ends = [middle[other] + OUT for other in users]
    parts = [
        f'<path d="M{x} {max(ends)}V{y + 8}Q{x} {y} {x - 8} {y}H{box + 7}" stroke="{colour}" stroke-width="1.4" '
        'fill="none"/>',
        f'<path d="M{box + 1} {y}l8 -3.6v7.2z" fill="{colour}"/>',
    ]
    for other, end in zip(users, ends, strict=True):
        count = between[other, room]
        parts += [
            f'<circle cx="{x}" cy="{end}" r="9" fill="{colour}" stroke="#ffffff" stroke-width="1.5">'
            f"<title>{escape(_title(other))} imports {escape(_title(room))}: {count}</title></circle>",
            f'<text x="{x}" y="{end + 3.4:g}" font-size="10" font-weight="600" fill="#ffffff" text-anchor="middle">'
            f"{count}</text>",
        ]
    return parts


def _box(room: str, y: int, package: Path, imports: Mapping[str, set[str]], lines: int, colour: str) -> list[str]:
    """A room: its name, its size, and what it is for."""
    modules = [name for name in imports if name.split(".")[0] in room.split()]
    there = [name for name in room.split() if name in imports]
    name = " · ".join(there)
    files = sum(1 for module in modules if (package / f"{module.replace('.', '/')}.py").exists())
    size = f"{files} module{'s' if files != 1 else ''}, {max(100, round(lines, -2)):,} lines"
    about = _shortened(ABOUT.get(room) or _docstring(package / room / "__init__.py"))
    return [
        f'<rect x="{LEFT}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="#f8fafb" stroke="{LINE}"/>',
        f'<rect x="{LEFT + 8}" y="{y + 11}" width="4" height="{BOX_HEIGHT - 22}" rx="2" fill="{colour}"/>',
        f'<text x="{LEFT + 24}" y="{y + 24}" font-family="{MONO}" font-size="14.5" font-weight="600" fill="{INK}">'
        f"{escape(name)}</text>",
        f'<text x="{LEFT + BOX_WIDTH - 14}" y="{y + 24}" font-size="11.5" fill="{GREY}" text-anchor="end">'
        f"{size}</text>",
        f'<text x="{LEFT + 24}" y="{y + 44}" font-size="12" fill="{GREY}">{escape(about)}</text>',
    ]


def _title(room: str) -> str:
    return room if room == FLAT else ", ".join(room.split())


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _shortened(text: str, most: int = 66) -> str:
    """The first sentence; of a long one the words before its colon or semicolon, or as many as fit."""
    sentence = re.split(r"(?<=\.)\s", " ".join(text.replace("`", "").split()))[0]
    if len(sentence) > most:
        sentence = re.split(r"[:;]", sentence)[0]
    if len(sentence) > most:
        sentence = sentence[:most].rsplit(" ", 1)[0] + " ..."
    return sentence if sentence.endswith(".") else f"{sentence}."


def print_counts(package: Path, other: Path | None = None) -> None:
    """Imports against the order, circles, and lines by room; of another tree in a column before."""
    trees = [package] if other is None else [other, package]
    lines = [count_lines(tree) for tree in trees]
    rooms = [room for room in ("__init__", *ROOMS, FLAT) if any(counts[room] for counts in lines)]
    found = [read_imports(tree) for tree in trees]
    rows = [
        ["lines by room", *([str(tree) for tree in trees] if other is not None else [""])],
        *([_title(room), *(f"{counts[room]:,}" for counts in lines)] for room in rooms),
        ["together", *(f"{counts.total():,}" for counts in lines)],
        ["circles", *(str(len(circles(imports))) for imports in found)],
        [
            "imports against the order",
            *(
                "no order" if counts[FLAT] else str(len(arrows_up(imports)))
                for imports, counts in zip(found, lines, strict=True)
            ),
        ],
    ]
    for name, *texts in rows:
        print(f"{name:36}" + "".join(f"{text:>22}" for text in texts))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws docs/architecture.svg from the package's imports.")
    parser.add_argument("--package", type=Path, help="another tree's package; prints its counts, and draws nothing")
    other = parser.parse_args().package
    if other is None:
        PICTURE.write_text(draw(), encoding="utf-8")
        print(f"wrote {PICTURE.relative_to(ROOT)}")
    print_counts(PACKAGE, other)


if __name__ == "__main__":
    main()

"""Charts as hand-made SVG: no library, no script; colours come from the page's style, for light, dark and print.

Every chart has a text that says what it shows; the numbers themselves stand in tables beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 210  # of a line chart, in pixels; small, so that it is readable on a phone
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 34  # margins
COLOURS = 8  # classes c0 to c7 of the page's style
TICKS = 4
MOST_POINTS = 240  # of a line; of more, every n-th is drawn


@dataclass(frozen=True)
class Line:
    """A named line: points (x, y) in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


def colour(place: int) -> str:
    """The class of the place-th colour."""
    return f"c{place % COLOURS}"


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_range: tuple[float | None, float | None] = (None, None),
    band: tuple[float | None, float | None] | None = None,
    colours: Sequence[int] | None = None,
) -> Markup:
    """A line chart.

    Args:
        y_range: what the y axis covers at least; None leaves an end to the data.
        band: a healthy range of y, shaded; None is an open end.
        colours: the colour of each line; without it their places.
    """
    drawn = [Line(line.name, [point for point in line.points if all(map(math.isfinite, point))]) for line in lines]
    xs = [x for line in drawn for x, _ in line.points]
    ys = [y for line in drawn for _, y in line.points]
    if not xs:
        return Markup("")
    asked = [bound for bound in (*y_range, *(band or ())) if bound is not None]
    y_axis = ticks(min([*ys, *asked]), max([*ys, *asked]))
    x_axis = ticks(min(xs), max(xs), whole=all(float(x).is_integer() for x in xs))
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = y_axis[0], y_axis[-1]

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((x - x_low) / (x_high - x_low) if x_high > x_low else 0.5)

    def up(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (y - y_low) / (y_high - y_low))

    parts = []
    if band is not None:
        high = up(y_high if band[1] is None else min(band[1], y_high))
        low = up(y_low if band[0] is None else max(band[0], y_low))
        parts.append(
            f'<rect class="band" x="{LEFT}" y="{high:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{low - high:.1f}"/>'
        )
    for y in y_axis:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(y):.1f}" y2="{up(y):.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 6}" y="{up(y) + 4:.1f}">{number(y)}</text>')
    for x in (x for x in x_axis if x_low <= x <= x_high):
        at, side = (WIDTH, "end") if across(x) > WIDTH - RIGHT - 8 else (across(x), "middle")  # inside of the picture
        parts.append(f'<text class="tick {side}" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}">{number(x)}</text>')
    parts.append(
        f'<text class="tick middle" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}">{escape(x_label)}</text>'
    )
    for place, line in enumerate(drawn):
        shade = colour(place if colours is None else colours[place])
        every = math.ceil(len(line.points) / MOST_POINTS) or 1
        points = [*line.points[::every], *([line.points[-1]] if (len(line.points) - 1) % every else [])]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<g class="{shade}"><title>{escape(line.name)}</title><polyline points="{path}"/>')
        if len(points) <= 30:
            parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.4"/>' for x, y in points]
        parts.append("</g>")
    said = "; ".join(
        f"{line.name}: from {number(line.points[0][1])} to {number(line.points[-1][1])}"
        for line in drawn
        if line.points
    )
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}. {said}")}">'
    return Markup(head + "".join(parts) + "</svg>")


def interval_bar(value: float, interval: tuple[float, float], *, low: float = 0, high: float = 100) -> Markup:
    """A dot with its interval on an axis from ``low`` to ``high``, for a cell of a table."""
    width, height = 200, 18

    def across(x: float) -> float:
        return 4 + (width - 8) * (min(max(x, low), high) - low) / (high - low)

    marks = "".join(
        f'<line class="grid" x1="{across(x):.1f}" x2="{across(x):.1f}" y1="0" y2="{height}"/>'
        for x in (low, (low + high) / 2, high)
    )
    left, right, dot = across(interval[0]), across(interval[1]), across(value)
    return Markup(
        f'<svg class="interval" viewBox="0 0 {width} {height}" aria-hidden="true">{marks}'
        f'<line class="whisker" x1="{left:.1f}" x2="{right:.1f}" y1="9" y2="9"/>'
        f'<circle class="dot" cx="{dot:.1f}" cy="9" r="4"/></svg>'
    )


def share_bar(share: float) -> Markup:
    """A share from 0 to 1 as a bar, for a cell of a table."""
    return Markup(
        '<svg class="share" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="back" width="100" height="12"/><rect class="fill" width="{100 * share:.1f}" height="12"/></svg>'
    )


def stacked_bar(counts: Sequence[tuple[str, int]], whole: int) -> Markup:
    """Counts as parts of a whole, each in the colour of its place."""
    parts, left = [], 0.0
    for place, (name, count) in enumerate(counts):
        if count:
            width = 400 * count / whole
            parts.append(
                f'<rect class="{colour(place)} part" x="{left:.2f}" width="{width:.2f}" height="20">'
                f"<title>{escape(name)}: {count} of {whole}</title></rect>"
            )
            left += width
    said = ", ".join(f"{name} {count}" for name, count in counts if count) or "none"
    head = f'<svg class="stack" viewBox="0 0 400 20" preserveAspectRatio="none" role="img" aria-label="{escape(said)}">'
    return Markup(head + '<rect class="back" width="400" height="20"/>' + "".join(parts) + "</svg>")


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers that cover a range, some `TICKS` of them.

    Args:
        whole: only whole numbers.
    """
    if high <= low:
        spread = abs(low) * 0.1 or 0.5
        low, high = low - spread, high + spread
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    step = max(1.0, round(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """A number for a label: three digits that count, thousands with a blank."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"

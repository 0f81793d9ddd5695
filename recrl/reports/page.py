"""The page: one HTML file that holds all that it shows, loads nothing and runs nothing but its own script.

Text of products, people and file names is data. What the template sets is escaped, the episodes are JSON in which no
``<`` stands, the script sets them as text, and the page's policy (Content-Security-Policy) names the one script and the
one style that may run by their hashes.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from recrl.reports.parts import Fold, Section
from recrl.version import __version__

RESOURCES = "recrl.reports"


def render_page(
    *,
    title: str,
    headline: Sequence[str],
    notes: Sequence[str],
    sections: Sequence[Section],
    episodes: Mapping[str, Any],
    no_episodes: str,
    fingerprints: Fold | None,
    settings: Sequence[tuple[str, Sequence[tuple[str, str]]]],
) -> str:
    """The page as HTML.

    Args:
        headline: sentences under the title; notes: what is missing or damaged.
        sections: in order; empty ones are left out.
        episodes: as `recrl.reports.viewer_data` makes them; no_episodes: why there are none.
        fingerprints: what stands behind the results; settings: name -> (key, value) of each run.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    style, script = _resource("report.css"), _resource("report.js")
    return environment.from_string(_resource("report.html.j2")).render(
        title=title,
        headline=headline,
        notes=notes,
        sections=[section for section in sections if not section.is_empty],
        num_episodes=len(episodes["episodes"]),
        no_episodes=no_episodes,
        fingerprints=fingerprints,
        settings=settings,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=Markup(json_for_html(episodes)),
        version=__version__,
    )


def json_for_html(value: Any) -> str:
    """JSON that can stand in an element of a page: nothing in it ends the element or begins another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _resource(name: str) -> str:
    return files(RESOURCES).joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""What draws pictures: matplotlib without a screen."""

from pathlib import Path
from typing import Any

from recrl.errors import ConfigError

COLORS = ("#2a78b5", "#c2562d", "#4c9a57", "#8860a8", "#b8962c", "#5b6770", "#c45b8b", "#3aa3a8")


def load_pyplot() -> Any:
    """`matplotlib.pyplot`, drawing into files; an SVG of equal content has equal bytes.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ConfigError("pictures need matplotlib; install it with `pip install matplotlib`") from error
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "recrl"
    from matplotlib import pyplot

    return pyplot


def save_picture(figure: Any, *paths: Path) -> None:
    """Writes a figure into files, without a date or a version in them, and forgets it."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Date" if path.suffix == ".svg" else "Software": None})
    load_pyplot().close(figure)

"""Files that come with the package: recipes and their settings, and configurations for `accelerate launch`.

In a checkout they lie beside the package, in an installed one inside it.
"""

import itertools
import shutil
from pathlib import Path

from recrl.errors import ConfigError
from recrl.files import clear_disk_errors

RECIPES, ACCELERATE_CONFIGS = "recipes", "accelerate_configs"


def shipped_folder(name: str) -> Path:
    """The folder of this name."""
    installed = Path(__file__).parent / "shipped_files" / name
    return installed if installed.is_dir() else Path(__file__).parents[1] / name


def shipped_files(folder: str) -> dict[str, Path]:
    """Name without suffix -> YAML file, in the order of the names."""
    return {path.stem: path for path in sorted(shipped_folder(folder).glob("*.yaml"))}


def find_file(folder: str, path: str) -> str:
    """``path``, or, if nothing is there, the file of this name that comes with the package: ``dpo_embedded``."""
    shipped = shipped_files(folder).get(path.removesuffix(".yaml"))
    return path if Path(path).exists() or shipped is None else str(shipped)


def about(path: Path) -> str:
    """The first sentence of the comment with which a YAML file begins, without the commands in it."""
    lines = itertools.takewhile(
        lambda line: line.startswith("# ") and not line.startswith("#   "), path.read_text(encoding="utf-8").split("\n")
    )
    return " ".join(line.removeprefix("# ") for line in lines).partition(". ")[0].rstrip(".:")


def copy_shipped(name: str, output_dir: str) -> list[Path]:
    """Copies the settings of one recipe into a folder, or of all with the scripts and accelerate's configurations.

    Returns:
        the files that were written.

    Raises:
        ConfigError: the name is unknown, or a file of the name is there already; then nothing is written.
    """
    target, known = Path(output_dir), shipped_files(RECIPES)
    if name == "all":
        sources = {
            target / folder / path.name: path
            for folder, patterns in ((RECIPES, ("*.py", "*.yaml")), (ACCELERATE_CONFIGS, ("*.yaml",)))
            for pattern in patterns
            for path in sorted(shipped_folder(folder).glob(pattern))
        }
    elif name.removesuffix(".yaml") in known:
        path = known[name.removesuffix(".yaml")]
        sources = {target / path.name: path}
    else:
        raise ConfigError(f"unknown recipe {name!r}; expected all, or one of {', '.join(known)}")
    there = next((path for path in sources if path.exists()), None)
    if there is not None:
        raise ConfigError(f"{there} is there already; remove it, or name another --output_dir")
    with clear_disk_errors(target):
        for path, source in sources.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    return list(sources)

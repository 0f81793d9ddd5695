"""The version of the package, and what else the last digits of a number depend on."""

import platform
import sys
from importlib.metadata import version

__version__ = "0.1.0"


def versions() -> dict[str, str]:
    """Of the packages and of Python; where torch has computed, also its threads and what it uses of the CPU.

    Results are equal to the last digit where all of these are.
    """
    found = {"recrl": __version__, "python": platform.python_version()}
    found |= {name: version(name) for name in ("torch", "transformers", "trl", "datasets")}
    torch = sys.modules.get("torch")  # what never needed it is not made to load it
    if torch is not None:
        found |= {"threads": str(torch.get_num_threads()), "cpu_capability": torch.backends.cpu.get_cpu_capability()}
    return found

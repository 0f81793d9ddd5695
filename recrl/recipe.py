"""How a recipe ends: with the exit codes of the command line, and its errors on one line."""

import logging
import sys
from collections.abc import Callable


def run_recipe(main: Callable[[], None]) -> None:
    """Runs ``main``; bad input prints one line and exits with 2, Ctrl-C says how to go on and exits with 130."""
    from recrl.errors import RecrlError

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("recrl").setLevel(logging.INFO)  # our own progress, and only warnings of others
    try:
        main()
    except RecrlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        sys.exit(130)

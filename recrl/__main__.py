"""``python -m recrl`` is the command ``recrl``."""

from recrl.cli import main

if __name__ == "__main__":
    main()

"""The command ``parchunk``, and ``python -m parchunk``."""

import sys


def main() -> None:
    """Run the command line, which minds Ctrl-C by itself as soon as it is imported."""
    try:
        from parchunk.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)  # nothing was begun
    run()


if __name__ == "__main__":  # worker processes import the main module again
    main()

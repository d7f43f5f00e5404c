"""``python -m parchunk``: the command line."""

from parchunk.cli import main

if __name__ == "__main__":  # worker processes import the main module again
    main()

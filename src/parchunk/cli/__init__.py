"""The command line. One module a command; each turns options into calls of the Python API."""

from __future__ import annotations

from parchunk.cli.main import main

__all__ = ["main"]

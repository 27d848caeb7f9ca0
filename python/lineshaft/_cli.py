"""The console script: everything is in the extension."""

from __future__ import annotations

import sys

from . import _native

__all__ = ["main"]


def main() -> int:
    """Runs the command line with `sys.argv`; gives the exit code."""
    return _native.run_cli(sys.argv)

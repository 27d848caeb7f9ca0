"""The console script: everything is in the extension."""

from __future__ import annotations

import signal
import sys

from . import _native
from ._connection import server_command

__all__ = ["main"]


def main() -> int:
    """Runs the command line with `sys.argv`; gives the exit code."""
    # Python's own handler would only take a note of Ctrl-C while the extension runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_cli(sys.argv, sys.executable, server_command())

"""Which files are looked at."""

from __future__ import annotations

import os
import stat
import sysconfig
from collections.abc import Iterator
from pathlib import Path

BROKEN = Path(__file__).resolve().parents[2] / "data" / "broken"
"""Files that no Python can read, each for a reason of its own."""

SKIPPED = {"__pycache__", "dist-packages", "node_modules", "site-packages"}
"""Directories that hold the work of others; hidden ones are skipped too."""


def standard_library() -> Path:
    """Where the running interpreter keeps its standard library."""
    return Path(sysconfig.get_path("stdlib"))


def python_files(root: Path) -> list[str]:
    """The `.py` files under `root`, sorted. A file that cannot be opened is one of them, a pipe is not."""
    return sorted(_walk(root))


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
        for name in files:
            path = os.path.join(folder, name)
            if name.endswith(".py") and _is_file(path):
                yield path


def _is_file(path: str) -> bool:
    """False for pipes, sockets and devices: opening one may never return."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True  # a dangling link, or nothing we may look at: its job will say so

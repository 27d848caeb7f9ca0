"""The import guard: a worker that imports the app must not run it.

Without it, a program that lacks `if __name__ == "__main__":` would enqueue its jobs again in every worker process.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._errors import ImportSideEffect

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["importing", "refuse_import_side_effect"]

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_depth = 0


@contextmanager
def importing() -> Iterator[None]:
    """While this is open, whatever has effects outside of the process raises `ImportSideEffect`."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def refuse_import_side_effect(verb: str) -> None:
    """Raises `ImportSideEffect` if a worker is importing the app; `verb` is what was called."""
    if _depth:
        file, line = _caller()
        raise ImportSideEffect(
            f"{file}:{line} calls {verb} while a worker imports the app\n"
            f'  hint: put it under `if __name__ == "__main__":`, so that importing the module only declares tasks'
        )


def _caller() -> tuple[str, int]:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno

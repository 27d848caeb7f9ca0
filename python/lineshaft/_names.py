"""Names that mean the same in every process: `canonical_name()` of functions and types, and where code lives.

A program that is run as a script is `__main__` to Python, but a worker imports it by its real module name. Whatever
is written down (task names, types, exceptions) therefore uses the real one.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

__all__ = ["Place", "canonical_module", "canonical_name", "main_file", "module_of_path", "place_of"]


MAINS = ("__main__", "__mp_main__")
"""What a program is called when it is run; the second one in the processes that `multiprocessing` spawns."""

_main_files: dict[str, tuple[str, str]] = {}
"""The `__file__` of programs, and its path. It is looked for once, because every wait asks.

Python forgets the file when the last line of a program has run, while its threads go on.
"""


class Place(NamedTuple):
    """Where something was written."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def canonical_name(thing: Any) -> str:
    """`module.qualname` of a function or class, with `__main__` replaced by the real module."""
    return f"{canonical_module(thing.__module__)}.{thing.__qualname__}"


def canonical_module(module: str) -> str:
    """`module`, or the name under which a worker imports the program if it is `__main__`."""
    if module not in MAINS:
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in MAINS:
        return str(spec.name)
    file = main_file(module)
    return module if file is None else module_of_path(file)[1]


def main_file(module: str = "__main__") -> str | None:
    """The absolute path of the program; None in an interactive session, a notebook or `python -c`."""
    file: str | None = getattr(sys.modules.get(module), "__file__", None)
    known = _main_files.get(module)
    if file and (known is None or known[0] != file) and os.path.isfile(file):
        known = _main_files[module] = file, os.path.abspath(file)
    return None if known is None else known[1]


def module_of_path(path: str) -> tuple[str, str]:
    """The import root of a Python file and the dotted name under it.

    The root is the nearest directory upward that is not itself a package (has no `__init__.py`).
    """
    folder, file = os.path.split(os.path.abspath(path))
    stem = file.removesuffix(".py")
    parts = [] if stem == "__init__" else [stem]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        parent, package = os.path.split(folder)
        if parent == folder:
            break
        parts.append(package)
        folder = parent
    return folder, ".".join(reversed(parts))


def place_of(function: Any) -> Place:
    """Where `function` (or what it wraps) was written."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    return Place(
        os.path.abspath(code.co_filename) if os.path.exists(code.co_filename) else code.co_filename, code.co_firstlineno
    )

"""What one file of Python comes to, by its syntax tree."""

from __future__ import annotations

import ast
import os
import warnings
from dataclasses import dataclass, field

BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.match_case,
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTABLE = (ast.Module, ast.ClassDef, *FUNCTIONS)


@dataclass(frozen=True)
class Function:
    """A function, and where it is."""

    name: str
    path: str
    line: int
    lines: int


@dataclass
class Measures:
    """What one file comes to."""

    path: str
    lines: int
    functions: int = 0
    classes: int = 0
    branches: int = 0
    documentable: int = 0
    """Modules, classes and functions, which might have a docstring."""
    documented: int = 0
    """Those that have one."""
    longest: Function | None = None
    imports: set[str] = field(default_factory=set)
    """Names of the packages it imports; its own relatives are left out."""
    process: int = 0
    """Id of the process that measured it."""


def measure_file(path: str, label: str) -> Measures:
    """Parses a file, called `label` in the report, and counts. Raises SyntaxError or ValueError if it is
    not Python, OSError if it does not open.
    """
    with open(path, "rb") as file:
        source = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in somebody's file is not our news
        tree = ast.parse(source, filename=label)
    measures = Measures(label, len(source.splitlines()), process=os.getpid())
    for node in ast.walk(tree):
        _count(node, measures)
    return measures


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text; bytes that are not UTF-8 are shown as \\xNN."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _count(node: ast.AST, measures: Measures) -> None:
    if isinstance(node, FUNCTIONS):
        measures.functions += 1
        measures.longest = _longer(measures.longest, node, measures.path)
    elif isinstance(node, ast.ClassDef):
        measures.classes += 1
    elif isinstance(node, ast.Import):
        measures.imports.update(alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        measures.imports.add(node.module.split(".")[0])
    elif isinstance(node, BRANCHES):
        measures.branches += 1
    if isinstance(node, DOCUMENTABLE):
        measures.documentable += 1
        measures.documented += ast.get_docstring(node, clean=False) is not None


def _longer(longest: Function | None, node: ast.FunctionDef | ast.AsyncFunctionDef, path: str) -> Function:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if longest is not None and longest.lines >= lines:
        return longest
    return Function(node.name, path, node.lineno, lines)

"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .report import DEAD_MAX, Report

_SPECIAL = str.maketrans({character: "\\" + character for character in "\\`*_{}[]<>|#~$"})


def markdown_page(report: Report) -> str:
    """The whole page."""
    sections = [
        f"# {_text(report.title)}",
        _facts(report),
        "## Packages\n\n" + _packages(report),
        "## Longest functions\n\n" + _longest(report),
        "## Most imported\n\n" + _table(["package", "files"], report.imports),
        "## Dead letters\n\n" + _dead(report),
        "## Jobs\n\n" + _jobs(report),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(report: Report) -> str:
    total = report.total
    return (
        f"{total.files:,} files, {total.lines:,} lines, {total.functions:,} functions, {total.classes:,} classes, "
        f"{total.branches:,} branches; {total.documented_share:.0%} of modules, classes and functions have a docstring."
    )


def _packages(report: Report) -> str:
    head = ["package", "files", "lines", "functions", "classes", "branches", "imports", "docstrings"]
    rows = [
        (it.name, it.files, it.lines, it.functions, it.classes, it.branches, it.imports, it.documented_share)
        for it in report.packages
    ]
    return _table(head, rows)


def _longest(report: Report) -> str:
    rows = [(it.name, f"{it.path}:{it.line}", it.lines) for it in report.longest]
    return _table(["function", "where", "lines"], rows)


def _dead(report: Report) -> str:
    if not report.dead:
        return "None: every file could be read."
    table = _table(["file", "reason"], [(it.label, it.reason) for it in report.dead[:DEAD_MAX]])
    hidden = len(report.dead) - DEAD_MAX
    return table if hidden <= 0 else f"{table}\n\nand {hidden:,} more"


def _jobs(report: Report) -> str:
    ends = report.ends
    rows = [
        ("enqueued", ends.enqueued),
        ("completed", ends.completed),
        ("dead letters", ends.discarded),
        ("run again after a crash", ends.rerun),
        ("lost", len(ends.lost)),
    ]
    return _table(["jobs", "number"], rows)


def _table(head: list[str], rows: Sequence[tuple[object, ...]]) -> str:
    if not rows:
        return "None."
    rule = ["---:" if isinstance(value, int | float) else "---" for value in rows[0]]
    return "\n".join([_row(head), _row(rule), *(_row(map(_cell, row)) for row in rows)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.0%}" if isinstance(value, float) else _text(str(value))


def _text(text: str) -> str:
    """`text` as Markdown shows it, whatever is in it."""
    return " ".join(text.split()).translate(_SPECIAL)

"""The report as one HTML file: no script, nothing loaded from elsewhere, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .chart import bar_chart
from .report import DEAD_MAX, Report

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #23211e; --faint: #6f6a62; --line: #e4e0d8;
  --all: #d9d3c7; --have: #b4552d; }
@media (prefers-color-scheme: dark) { :root { --paper: #171614; --card: #201f1c; --ink: #ece8e1; --faint: #a29b90;
  --line: #35322d; --all: #4a463f; --have: #e08a5b; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1.5rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .75rem }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem }
.tile { flex: 1 1 7rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .8rem 1rem }
.tile b { display: block; font-size: 1.45rem; font-variant-numeric: tabular-nums; line-height: 1.2 }
.tile span, .note { color: var(--faint); font-size: .9rem }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th { color: var(--faint); font-weight: 500; text-align: left; white-space: nowrap }
th.number, td.number { text-align: right; white-space: nowrap }
th, td { padding: .4rem .9rem; border-bottom: 1px solid var(--line); vertical-align: top }
tr:last-child td { border-bottom: 0 }
td { overflow-wrap: anywhere }
svg { display: block; width: 100%; height: auto; padding: .75rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .6rem; font: 13px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .faint { fill: var(--faint) }
svg .all { fill: var(--all) } svg .have { fill: var(--have) }
i.all, i.have { display: inline-block; width: .8em; height: .8em; border-radius: .2em; margin: 0 .3em 0 .8em }
i.all { background: var(--all) } i.have { background: var(--have) }
"""

LEGEND = """<p class="note">Modules, classes and functions
<i class="have"></i>with a docstring <i class="all"></i>without, in the largest packages</p>"""


def html_page(report: Report) -> str:
    """The whole page."""
    title = escape(report.title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{_body(report)}\n"
        "</body>\n</html>\n"
    )


def _body(report: Report) -> str:
    return "\n".join(
        [
            _tiles(report),
            "<h2>Docstrings</h2>",
            LEGEND,
            bar_chart(report.packages),
            "<h2>Packages</h2>",
            _packages(report),
            "<h2>Longest functions</h2>",
            _longest(report),
            "<h2>Most imported</h2>",
            _table(["package", "files that import it"], report.imports),
            "<h2>Dead letters</h2>",
            _dead(report),
            "<h2>Jobs</h2>",
            _jobs(report),
        ]
    )


def _tiles(report: Report) -> str:
    total = report.total
    facts = [
        (f"{total.files:,}", "files"),
        (f"{total.lines:,}", "lines"),
        (f"{total.functions:,}", "functions"),
        (f"{total.classes:,}", "classes"),
        (f"{total.branches:,}", "branches"),
        (f"{total.documented_share:.0%}", "with a docstring"),
    ]
    tiles = "".join(f'<div class="tile"><b>{value}</b><span>{what}</span></div>' for value, what in facts)
    return f'<div class="tiles">{tiles}</div>'


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
        return '<p class="note">None: every file could be read.</p>'
    hidden = len(report.dead) - DEAD_MAX
    more = f'<p class="note">and {hidden:,} more</p>' if hidden > 0 else ""
    return _table(["file", "reason"], [(it.label, it.reason) for it in report.dead[:DEAD_MAX]]) + more


def _jobs(report: Report) -> str:
    ends = report.ends
    rows = [
        ("enqueued, one per file", ends.enqueued),
        ("completed", ends.completed),
        ("dead letters", ends.discarded),
        ("run again after a crash", ends.rerun),
        ("lost", len(ends.lost)),
    ]
    return _table(["jobs", "number"], rows)


def _table(head: list[str], rows: Sequence[tuple[object, ...]]) -> str:
    """The columns of numbers are those that hold one in the first row."""
    if not rows:
        return '<p class="note">None.</p>'
    kinds = [' class="number"' if isinstance(value, int | float) else "" for value in rows[0]]
    lines = [_row("th", kinds, head), *(_row("td", kinds, map(_shown, row)) for row in rows)]
    return f'<div class="scroll"><table>\n{"".join(lines)}</table></div>'


def _row(tag: str, kinds: list[str], texts: Iterable[str]) -> str:
    cells = (f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, texts, strict=True))
    return f"<tr>{''.join(cells)}</tr>\n"


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.0%}" if isinstance(value, float) else str(value)

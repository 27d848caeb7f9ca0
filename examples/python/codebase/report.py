"""From the measures of all files to the two pages of the report."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .ledger import Audit
from .measure import Function, Measures

PACKAGES_MAX = 14
"""Rows of the chart and the table of packages; the rest is one row."""
LONGEST_MAX = 10
IMPORTS_MAX = 10
DEAD_MAX = 200
"""Dead letters that the pages name one by one."""


@dataclass(frozen=True)
class DeadLetter:
    """A file that could not be measured."""

    label: str
    job: str
    reason: str


@dataclass
class Findings:
    """What is known before the pages are written."""

    title: str
    ends: Audit
    measures: list[Measures] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


@dataclass
class Package:
    """The files of one directory of the first level, together."""

    name: str
    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    branches: int = 0
    imports: int = 0
    documentable: int = 0
    documented: int = 0

    def add(self, measures: Measures) -> None:
        """Counts one file in."""
        self.files += 1
        self.lines += measures.lines
        self.functions += measures.functions
        self.classes += measures.classes
        self.branches += measures.branches
        self.imports += len(measures.imports)
        self.documentable += measures.documentable
        self.documented += measures.documented

    def merge(self, other: Package) -> None:
        """Counts another package in."""
        for name, value in vars(other).items():
            if name != "name":
                setattr(self, name, getattr(self, name) + value)

    @property
    def documented_share(self) -> float:
        """Of the modules, classes and functions, how many have a docstring: 0 to 1."""
        return self.documented / self.documentable if self.documentable else 0.0


@dataclass(frozen=True)
class Report:
    """What the pages show, whatever they look like."""

    title: str
    total: Package
    packages: list[Package]
    longest: list[Function]
    imports: list[tuple[str, int]]
    """Package, and the number of files that import it."""
    dead: list[DeadLetter]
    ends: Audit


def summarise(findings: Findings) -> Report:
    """The report of these findings."""
    total = Package("all")
    packages: dict[str, Package] = {}
    for measures in findings.measures:
        name = _package_of(measures.path)
        packages.setdefault(name, Package(name)).add(measures)
        total.add(measures)
    longest = [measures.longest for measures in findings.measures if measures.longest is not None]
    imports = Counter(name for measures in findings.measures for name in measures.imports)
    return Report(
        title=findings.title,
        total=total,
        packages=_largest(list(packages.values())),
        longest=sorted(longest, key=lambda it: (-it.lines, it.path))[:LONGEST_MAX],
        imports=sorted(imports.items(), key=lambda it: (-it[1], it[0]))[:IMPORTS_MAX],
        dead=sorted(findings.dead, key=lambda it: it.label),
        ends=findings.ends,
    )


def write_pages(findings: Findings, folder: Path) -> list[str]:
    """Writes report.md and report.html into `folder`; gives their paths."""
    from .page_html import html_page
    from .page_markdown import markdown_page

    report = summarise(findings)
    pages = {"report.md": markdown_page(report), "report.html": html_page(report)}
    return [_write(folder / name, text) for name, text in pages.items()]


def _write(path: Path, text: str) -> str:
    """Whoever reads sees the old page or the new one, also if this attempt dies in between."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
    return str(path)


def _package_of(label: str) -> str:
    first, separator, _ = label.partition("/")
    return first if separator else "(top level)"


def _largest(packages: list[Package]) -> list[Package]:
    packages.sort(key=lambda it: (-it.lines, it.name))
    shown, others = packages[:PACKAGES_MAX], packages[PACKAGES_MAX:]
    if others:
        rest = Package(f"{len(others)} others")
        for package in others:
            rest.merge(package)
        shown.append(rest)
    return shown

"""The page of what the judges found, docs/operations/judges.md: a section for each, written anew when it ran."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from .report import Report

PAGE = Path(__file__).resolve().parents[2] / "docs/operations/judges.md"
OPENING = """# Judges

```python
# run: python instead.py
import concurrent.futures
import multiprocessing

import lineshaft
import lineshaft.multiprocessing

print(set(multiprocessing.__all__) - set(lineshaft.multiprocessing.__all__))
print(issubclass(lineshaft.Executor, concurrent.futures.Executor))
```

```text
set()
True
```

Suites that others wrote for what Lineshaft stands in for, run on Lineshaft as they are.

```console
$ make judges        # every suite; exit code 1 if a case fails that is not excluded, or an excluded one passes
$ make judges-quick  # a part of each, in a few minutes
```

What a suite needs is fetched once, into `target/judges`; what cannot be had is said in a line and left out. Every case
runs in a process that is ended with all that it started. This page is made by `make judges`: the figures are those of
its last run.
"""


def write(reports: Iterable[Report]) -> None:
    """Writes the sections of these reports, and leaves the others as they are."""
    sections = _sections(PAGE.read_text()) if PAGE.exists() else {}
    sections.update({report.name: _section(report) for report in reports if report.passed or report.failed})
    PAGE.write_text("\n".join([OPENING, *(text.rstrip() + "\n" for _, text in sorted(sections.items()))]))


def _sections(text: str) -> dict[str, str]:
    found = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return {name: f"## {name}\n{body}" for name, body in zip(found[::2], found[1::2], strict=True)}


def _section(report: Report) -> str:
    counts = f"{len(report.passed)} passed, {len(report.failed)} failed, {len(report.excluded)} excluded"
    lines = [f"## {report.name}", "", f"{report.suite}: {counts}, on {date.today()}.".strip()]
    if report.failed:
        lines += ["", "Failed:", "", *_list(report.failed)]
    if report.excluded:
        lines += ["", "Excluded, each with its reason:", "", *_reasons(report.excluded)]
    if report.skipped:
        lines += ["", "Skipped by the suite itself:", "", *_reasons(report.skipped)]
    lines += ["", "<details><summary>What passed</summary>", "", *_list(report.passed), "", "</details>"]
    return "\n".join(lines) + "\n"


def _list(cases: Iterable[str]) -> Iterator[str]:
    """A line for each group."""
    groups: dict[str, list[str]] = {}
    for case in cases:
        group, _, name = case.rpartition("::")
        groups.setdefault(group, []).append(name)
    for group, names in sorted(groups.items()):
        yield f"- {group.replace('::', ' ')}: {', '.join(f'`{name}`' for name in sorted(names))}"


def _reasons(reasons: dict[str, str]) -> Iterator[str]:
    """A line for each reason, with the cases that it is the reason of."""
    cases: dict[str, list[str]] = {}
    for case, reason in reasons.items():
        cases.setdefault(reason, []).append(case)
    for reason, names in cases.items():
        yield f"- {reason}"
        yield from (f"  {line}" for line in _list(names))

"""What a judge found: every case of its suite by name, and why those are left out that are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

BY_TIMING = "by timing: "
"""Begins the reason of a case that may as well pass."""


@dataclass
class Report:
    """Cases are paths such as `spawn::WithProcessesTestQueue::test_get`: the page shows those of a group together."""

    name: str
    suite: str = ""
    """What was run, with its version; Markdown."""
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """With the end of what the case said."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Those that fail as they must, with the reason."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Those that the suite itself leaves out here, with the reason that it gives."""
    missing: list[str] = field(default_factory=list)
    """What could not be had, so that nothing of it was run: a line each."""

    def add(self, case: str, outcome: str, detail: str, exclusions: Mapping[str, str]) -> None:
        """Takes in a case that "passed", "failed" or was "skipped". One that is excluded is to fail.

        `exclusions` has reasons by the patterns (`fnmatch`) of the cases that they are the reason of.
        """
        reason = next((reason for pattern, reason in exclusions.items() if fnmatchcase(case, pattern)), None)
        if outcome == "skipped":
            self.skipped[case] = detail
        elif outcome == "failed" and reason is not None:
            self.excluded[case] = reason
        elif outcome == "failed":
            self.failed[case] = detail
        elif reason is not None and not reason.startswith(BY_TIMING):
            self.failed[case] = f"passes, though it is excluded: {reason}"
        else:
            self.passed.append(case)

    @property
    def is_good(self) -> bool:
        """Whether nothing failed. What could not be had is no fault."""
        return not self.failed

    @property
    def closing(self) -> str:
        """All of it in a line."""
        counts = f"passed={len(self.passed)} failed={len(self.failed)} excluded={len(self.excluded)}"
        return f"{self.name}: {counts} skipped={len(self.skipped)}"

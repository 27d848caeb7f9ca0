"""What the tests reach, line by line, as one table: `make coverage`.

The crates are measured by the unit and integration tests of all of them together and by those of the server and the
testkit, which run the same engine in their own process; the Python package by `tests/python` with the programs and
workers that these start. The lines that nothing reached stand in `uncovered.txt` beside the reports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CRATES = ("lineshaft-jobs", "lineshaft-store", "lineshaft-engine", "lineshaft-wire")
TESTED = (*CRATES, "lineshaft-server", "lineshaft-testkit")
SKIPPED = ("flips::", "worker_death::")
"""The same lines ten thousand times, one for each byte of a home; processes whose death the tracer hears of first."""
GOAL_PERCENT = 92.0
SILENT_S = 1_200
"""How long a test may be silent while it stops at each line that is new, on a machine that does other things too."""

Lines = dict[tuple[str, int], bool]
"""The lines that have code, by file and number; true for those that ran."""


class Covered(NamedTuple):
    """What was measured of a crate or of the package."""

    name: str
    lines: Lines
    has_passed: bool

    @property
    def reached(self) -> int:
        return sum(self.lines.values())

    @property
    def percent(self) -> float:
        return 100 * self.reached / len(self.lines) if self.lines else 0.0

    @property
    def is_enough(self) -> bool:
        return self.percent >= GOAL_PERCENT

    @property
    def verdict(self) -> str:
        """Lines that a test reached before it failed are no proof that they are right."""
        met = "met" if self.is_enough else "NOT MET"
        return met if self.has_passed else f"{met}, though tests failed: see above"


def main(names: list[str]) -> int:
    """Measures what is named, or everything; gives the exit code: 1 if a goal is missed, or a test failed."""
    kinds = {"rust": measure_crates, "python": measure_package}
    unknown = sorted(set(names) - set(kinds))
    if unknown:
        print(f"coverage is measured of {' and '.join(kinds)}, not of {', '.join(unknown)}")
        return 2
    reports = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "coverage"
    reports.mkdir(parents=True, exist_ok=True)
    measured = [covered for name in names or kinds for covered in kinds[name](reports)]
    uncovered = reports / "uncovered.txt"
    uncovered.write_text("".join(f"{line}\n" for covered in measured for line in unreached(covered)))
    print(table(measured))
    print(f"The lines that no test reached: {uncovered}")
    return 0 if all(covered.is_enough and covered.has_passed for covered in measured) else 1


def measure_crates(reports: Path) -> list[Covered]:
    """By tarpaulin, which lets the debug build of a test stop at every line that it has not seen yet."""
    report = reports / "tarpaulin-report.json"
    report.unlink(missing_ok=True)
    command = [os.environ.get("TARPAULIN", "cargo-tarpaulin"), "tarpaulin", "--engine", "ptrace", "--locked"]
    command += [word for crate in TESTED for word in ("--packages", crate)]
    command += [word for crate in CRATES for word in ("--include-files", f"crates/{crate}/src/*")]
    command += ["--no-fail-fast", "--skip-clean", "--timeout", str(SILENT_S), "--target-dir", str(reports / "build")]
    command += ["--out", "Json", "--output-dir", str(reports), "--"]
    has_passed = run([*command, *(word for name in SKIPPED for word in ("--skip", name))], {})
    lines: dict[str, Lines] = {crate: {} for crate in CRATES}
    for file in read(report)["files"]:
        path = Path(*file["path"]).relative_to(ROOT)
        lines[path.parts[1]] |= {(str(path), trace["line"]): trace["stats"]["Line"] > 0 for trace in file["traces"]}
    return [Covered(crate, lines[crate], has_passed) for crate in CRATES]


def measure_package(reports: Path) -> list[Covered]:
    """By coverage.py, which starts itself in every program that a test starts."""
    directory = reports / "python"
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*"):
        old.unlink()
    variables = {"COVERAGE_FILE": str(directory / "data"), "COVERAGE_RCFILE": str(ROOT / "pyproject.toml")}
    coverage = [sys.executable, "-m", "coverage"]
    has_passed = run([*coverage, "run", "-m", "pytest", "tests/python"], variables)
    run([*coverage, "combine", "--quiet"], variables)
    report = directory / "report.json"
    run([*coverage, "json", "--quiet", "-o", str(report)], variables)
    lines: Lines = {}
    for file, found in read(report)["files"].items():
        lines |= {(file, line): True for line in found["executed_lines"]}
        lines |= {(file, line): False for line in found["missing_lines"]}
    return [Covered("python/lineshaft", lines, has_passed)]


def run(command: list[str], variables: dict[str, str]) -> bool:
    """Whether it succeeded."""
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode == 0


def read(report: Path) -> dict:
    """What a tool wrote; without it there is nothing to say."""
    if not report.exists():
        sys.exit(f"coverage: there is no {report}; what went wrong stands above")
    return json.loads(report.read_text())


def unreached(covered: Covered) -> Iterator[str]:
    """The lines that no test reached, with their places as an editor takes them."""
    for file, line in sorted(place for place, is_reached in covered.lines.items() if not is_reached):
        text = (ROOT / file).read_text().splitlines()[line - 1].strip()
        yield f"{file}:{line}: {text}"


def table(measured: list[Covered]) -> str:
    """A row for each."""
    rows = [f"{'':<20}{'reached':>9}{'lines':>9}{'percent':>9}  goal {GOAL_PERCENT:.0f} %"]
    for one in measured:
        rows.append(f"{one.name:<20}{one.reached:>9,}{len(one.lines):>9,}{one.percent:>9.2f}  {one.verdict}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

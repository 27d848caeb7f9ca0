"""What type checkers say of programs: `tests/typing` holds right ones and wrong ones with the errors expected in them.

Each checker runs once over all of them. Both come with the tests' requirements and need no network.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from conftest import PACKAGE_ROOT, environment

ROOT = Path(__file__).resolve().parents[1] / "typing"
PROGRAMS = sorted(ROOT.glob("*/*.py"))
CHECKERS = ("mypy", "pyright")

Errors = dict[Path, dict[int, set[str]]]
"""The rules that are broken, by file and line."""


@pytest.fixture(scope="session")
def found(tmp_path_factory) -> dict[str, Errors]:
    """What each checker says of every program."""
    pytest.importorskip("mypy")
    pytest.importorskip("basedpyright")
    return {"mypy": run_mypy(tmp_path_factory.mktemp("mypy")), "pyright": run_pyright()}


def run_mypy(cache: Path) -> Errors:
    options = ["--strict", "--config-file=", "--python-version=3.10", "--output=json", f"--cache-dir={cache}"]
    said = run([sys.executable, "-m", "mypy", *options, *map(str, PROGRAMS)], cwd=ROOT)
    errors: Errors = defaultdict(lambda: defaultdict(set))
    for line in said.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            errors[(ROOT / error["file"]).resolve()][error["line"]].add(error["code"])
    return errors


def run_pyright() -> Errors:
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(ROOT)]
    errors: Errors = defaultdict(lambda: defaultdict(set))
    for error in json.loads(run(command, cwd=ROOT))["generalDiagnostics"]:
        if error["severity"] == "error":
            line = error["range"]["start"]["line"] + 1
            errors[Path(error["file"]).resolve()][line].add(error.get("rule", "syntax"))
    return errors


def run(command: list[str], cwd: Path) -> str:
    variables = environment(MYPYPATH=str(PACKAGE_ROOT))
    del variables["PYTHONPATH"]  # mypy refuses paths that are named twice
    ended = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return ended.stdout


def expected_in(path: Path, checker: str) -> dict[int, set[str]]:
    """The rules named in the comments of a program, by line."""
    expected = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        rules = re.search(rf"# error:.*?\b{checker}\[([^\]]+)\]", line)
        if rules is not None:
            expected[number] = set(rules[1].split(", "))
    return expected


def asks(path: Path, checker: str) -> bool:
    """Whether a program is meant for `checker`."""
    only = re.match(r"# checked by: (\w+)\n", path.read_text())
    return only is None or only[1] == checker


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_program_has_the_errors_that_it_says(path, checker, found):
    if asks(path, checker):
        assert dict(found[checker].get(path, {})) == expected_in(path, checker)


def test_right_programs_expect_no_error_and_wrong_ones_do():
    for path in PROGRAMS:
        counts = [len(expected_in(path, checker)) for checker in CHECKERS if asks(path, checker)]
        assert all(counts) == any(counts) == (path.parent.name == "wrong"), path


NOT_IN_STUBS = ["lineshaft._native.__all__"]
"""Written by the binding, and of no use to a checker."""


def test_the_stubs_of_the_extension_are_what_it_is(tmp_path):
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed"
    allowed.write_text("\n".join(NOT_IN_STUBS))
    configuration = str(ROOT.parents[1] / "pyproject.toml")
    options = ["--concise", "--mypy-config-file", configuration, "--allowlist", str(allowed)]
    said = run([sys.executable, "-m", "mypy.stubtest", "lineshaft._native", *options], cwd=tmp_path)
    assert said == ""


def test_the_checked_package_is_this_one():
    assert os.path.samefile(PACKAGE_ROOT, ROOT / "../../python")

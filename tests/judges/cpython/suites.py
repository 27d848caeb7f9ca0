"""Where CPython's tests are: in Debian's package for the interpreter's version, or beside an interpreter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..child import CACHE

_DEADLINE_S = 300
_NEWER = ("3.13", "3.14")
_LOOK = """
import importlib.util, sys
print("%d.%d.%d" % sys.version_info[:3])
for name in ("test._test_multiprocessing", "test.test_concurrent_futures", "test.support.script_helper"):
    if importlib.util.find_spec(name) is None:
        sys.exit(1)
"""


@dataclass
class Suite:
    """The tests of a version of CPython, for an interpreter."""

    python: str
    version: str
    """Of the tests."""
    path: Path | None = None
    """What is to be first on the path of modules, so that `test` is found there."""


def find() -> tuple[list[Suite], list[str]]:
    """Those that can be had, and a line for each that cannot."""
    found, missing = [], []
    own = "{}.{}".format(*sys.version_info)
    for suite, line in (_own(own), *_newer(own)):
        found += [suite] if suite else []
        missing += [line] if line else []
    return found, missing


def _own(own: str) -> tuple[Suite | None, str]:
    beside = _beside(sys.executable)
    try:
        return _debian(own), ""
    except (OSError, subprocess.SubprocessError) as error:
        if beside:
            return beside, ""
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return None, f"libpython{own}-testsuite cannot be had: {said[-1] if said else error!r}"


def _newer(own: str) -> Iterator[tuple[Suite | None, str]]:
    for version in _NEWER:
        pythons = list(_pythons(version))
        if version != own and pythons:
            suites = [suite for python in pythons if (suite := _beside(python)) is not None]
            yield (suites[0], "") if suites else (None, f"{pythons[0]} comes without its tests")


def _pythons(version: str) -> Iterator[str]:
    """Interpreters of a version: on the path, and those of pyenv, whatever it has chosen."""
    name = f"python{version}"
    if (found := shutil.which(name)) is not None:
        yield found
    yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"), reverse=True))


def _beside(python: str) -> Suite | None:
    looked = subprocess.run([python, "-c", _LOOK], capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    return None if looked.returncode else Suite(python, looked.stdout.split()[0])


def _debian(own: str) -> Suite:
    """The tests, and what of them Debian has in the standard library; fetched once."""
    path = CACHE / f"cpython-{own}"
    if not (path / "VERSION").exists():
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        packages = [f"libpython{own}-testsuite", f"libpython{own}-stdlib"]
        try:
            _call(["apt-get", "download", *packages], path)
        except subprocess.CalledProcessError:
            # The image may have come without the lists of packages; its own place for them is root's.
            state = [f"-oDir::State::lists={path}/lists", f"-oDir::Cache={path}/cache"]
            (path / "lists" / "partial").mkdir(parents=True)
            _call(["apt-get", *state, "update"], path)
            _call(["apt-get", *state, "download", *packages], path)
        for package in path.glob("*.deb"):
            _call(["dpkg", "-x", str(package), str(path / "root")], path)
        shutil.move(path / "root/usr/lib" / f"python{own}" / "test", path / "test")
        [deb] = path.glob("*testsuite*.deb")
        (path / "VERSION").write_text(deb.name.split("_")[1])
        shutil.rmtree(path / "root")
    return Suite(sys.executable, (path / "VERSION").read_text(), path)


def _call(command: Sequence[str], cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_DEADLINE_S, check=True)

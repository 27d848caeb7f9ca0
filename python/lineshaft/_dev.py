"""A child of `lineshaft dev`: loads the app, says how that went and which files it is made of, then works as any child.

Started as ``python -m lineshaft._dev ADDRESS NUMBER TARGET``. Without a supervisor it only loads and says.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING, Any, TypeVar

from . import _child, _native

if TYPE_CHECKING:
    from ._app import App
    from ._opening import Kept

__all__ = ["main"]

T = TypeVar("T")

LOOK_EVERY_S = 0.3
"""How long a module that a body imported goes unwatched."""

_PACKAGE = os.path.dirname(os.path.realpath(__file__)) + os.sep
_STANDARD = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_INSTALLED = tuple({path + os.sep for name in _STANDARD for path in (name, os.path.realpath(name))})
_SITES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def main() -> int:
    """Runs until the worker stops; gives the exit code."""
    reporter = Reporter(sys.argv.pop(1), int(sys.argv.pop(1)))
    _read_sources_only()
    if _native.CHILD_VARIABLE in os.environ:
        return _child.main(reporter.begin_work)
    try:
        reporter.look(sys.argv[1])
    except BaseException:
        return _child.CANNOT_LOAD
    return 0


def _read_sources_only() -> None:
    """Compiles the user's modules from what is written in them now, and keeps nothing of that.

    The import system takes compiled code for current that has the length of its source and the second in which that was
    written: a change within a second of an earlier import, also one by another program, would go unnoticed.
    """
    path_stats = SourceFileLoader.path_stats

    def told_apart(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
        if _is_the_users(path):
            raise OSError(f"{path} may have changed within a second")  # which makes the loader look at the source alone
        return path_stats(self, path)

    SourceFileLoader.path_stats = told_apart  # type: ignore[method-assign]


class Reporter:
    """Tells the program that watches what this process has loaded."""

    def __init__(self, address: str, number: int) -> None:
        self._number = number
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._said: set[str] = set()

    def begin_work(self, target: str, home: str | None) -> tuple[App, Kept]:
        """Begins the work as a worker does, and goes on saying what it imports."""
        begun = self._told(target, lambda app: app._begin_work(home))
        threading.Thread(target=self._follow, name="lineshaft-dev", daemon=True).start()
        return begun

    def look(self, target: str) -> None:
        """Loads the app and begins nothing."""
        self._told(target, lambda app: None)

    def _told(self, target: str, begin: Callable[[App], T]) -> tuple[App, T]:
        """Loads the app and begins; says how that went."""
        from ._target import report_of

        try:
            app = _child.load_app(target)
            words = app._check_tasks()
            url = app.url  # what the code says: a worker has its own
            begun = begin(app)
        except BaseException as error:
            files = self._new({*_of_modules(), *_of_error(error), *_of_target(target)})
            self._say("failed", error=report_of(error), files=files, directories=sorted(set(_directories())))
            raise
        self._say("loaded", url=url, tasks=len(app.tasks), warnings=words, files=self._new(_of_modules()))
        return app, begun

    def _follow(self) -> None:
        """Says what bodies import later."""
        modules = 0
        while True:
            time.sleep(LOOK_EVERY_S)
            if modules == len(sys.modules):
                continue
            modules = len(sys.modules)
            files = self._new(_of_modules())
            try:
                if files:
                    self._say("more", files=files)
            except OSError:
                return  # whoever watched is gone

    def _new(self, files: Iterable[str]) -> list[str]:
        new = sorted(set(files) - self._said)
        self._said.update(new)
        return new

    def _say(self, kind: str, **more: Any) -> None:
        line = json.dumps({"number": self._number, "kind": kind, **more})
        self._socket.sendall(line.encode(errors="replace") + b"\n")
        self._socket.recv(1)  # heard: this process may end now


def _of_modules() -> Iterator[str]:
    for module in list(sys.modules.values()):
        # Past the `__getattr__` of modules that load lazily.
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and _is_the_users(file):
            yield os.path.realpath(file)


def _of_error(error: BaseException | None) -> Iterator[str]:
    """Files whose code was running, or did not compile: they are no modules yet."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, SyntaxError) and error.filename and _is_the_users(error.filename):
            yield os.path.realpath(error.filename)
        traceback = error.__traceback__
        while traceback is not None:
            file = traceback.tb_frame.f_code.co_filename
            if _is_the_users(file):
                yield os.path.realpath(file)
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__


def _of_target(target: str) -> Iterator[str]:
    place = target.partition(":")[0]
    if os.sep in place or place.endswith(".py"):
        yield os.path.realpath(place)


def _directories() -> Iterator[str]:
    """Where a module that was missing may turn up: import roots, and packages."""
    yield os.getcwd()
    for entry in sys.path:
        if entry and os.path.isdir(entry) and _is_the_users(os.path.join(entry, "")):
            yield os.path.realpath(entry)
    for module in list(sys.modules.values()):
        for place in list(getattr(module, "__dict__", {}).get("__path__", ())):
            if isinstance(place, str) and os.path.isdir(place) and _is_the_users(os.path.join(place, "")):
                yield os.path.realpath(place)


def _is_the_users(file: str) -> bool:
    if file.startswith("<"):
        return False
    path = os.path.realpath(file)
    if os.path.isdir(path):
        path += os.sep
    # As it is named, too: the standard library of Debian has a link into /etc.
    is_pythons = any(name.startswith(_INSTALLED) for name in (path, os.path.abspath(file)))
    installed = is_pythons or path.startswith(_PACKAGE) or any(site in path for site in _SITES)
    return not installed and (path.endswith(os.sep) or os.path.exists(path))


if __name__ == "__main__":
    sys.exit(main())

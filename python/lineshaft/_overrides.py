"""Options of tasks from configuration files: `[tool.lineshaft.tasks."mail.send"]`.

They replace what `@app.task(...)` says; what `task.using(...)` says replaces them. The files are read when the first
job is made or a worker starts, not when the app is imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import OptionError
from ._options import FILE_OPTIONS, checked

if TYPE_CHECKING:
    from ._task import BaseTask

__all__ = ["Overrides"]


class Overrides:
    """What the files around an app say about its tasks."""

    def __init__(self, creator: str | None) -> None:
        self._creator = creator
        self._read_entries: list[tuple[str, str, str, str]] | None = None

    def of(self, task: BaseTask[..., Any]) -> dict[str, Any]:
        """The options that files set for `task`, checked."""
        names = (task.name, *task.aliases)
        options: dict[str, Any] = {}
        for name, option, value, place in self._entries():
            if name in names:
                options |= _checked(name, option, value, place)
        if options.get("unique") is not None:
            options["unique"].check(task)
        return options

    def check(self, known: Iterable[str]) -> list[str]:
        """Raises `OptionError` for an option that does not exist or does not fit; says which tasks do not exist."""
        names = set(known)
        words: dict[str, str] = {}
        for name, option, value, place in self._entries():
            _checked(name, option, value, place)
            if name not in names and name not in words:
                words[name] = f"{place}: the app has no task {name!r}{_guess(name, names)}"
        return list(words.values())

    def _entries(self) -> list[tuple[str, str, str, str]]:
        if self._read_entries is None:
            self._read_entries = _native.task_options(self._creator)
        return self._read_entries


def _checked(task: str, option: str, value: str, place: str) -> dict[str, Any]:
    import json

    try:
        return checked({option: json.loads(value)}, FILE_OPTIONS, f"task {task!r}")
    except OptionError as error:
        raise type(error)(f"{place}: {error.args[0]}", hint=error.hint) from None


def _guess(name: str, names: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {near[0]!r}?" if near else ""

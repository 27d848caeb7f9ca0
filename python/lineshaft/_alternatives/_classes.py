"""What is known of the implementations of one function, by class of arguments."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _native
from .._decorators._wording import time_of
from .._native import ChoiceKeys

if TYPE_CHECKING:
    from ._options import Options
    from ._sharing import Sharing

CLASSES_MAX = ChoiceKeys.CLASSES_MAX
"""Classes that are told apart; what comes beyond is one more."""

_logger = logging.getLogger("lineshaft")
_STANDING = {"best": "does the work", "tried": "is compared", "slower": "slower", "banned": "left out, it failed"}


class Implementation(NamedTuple):
    """How one implementation stands for one class of arguments."""

    name: str
    standing: str
    """`"best"`, `"tried"`, `"slower"` or `"banned"`."""
    calls: int
    median: float | None
    """Seconds, of its last calls up to 32; None if there are none."""
    low: float | None
    high: float | None
    """Between which that median lies, with a chance of 95 %."""


class Classes:
    """The choices for all classes of one function."""

    def __init__(self, name: str, functions: Sequence[Callable[..., Any]], options: Options) -> None:
        self.name, self.options = name, options
        self.names = _told_apart([getattr(one, "__name__", repr(one)) for one in functions])
        self.sharing: Sharing | None = None
        self._choices: dict[Hashable, _native.Choice] = {}
        self._lock = threading.Lock()

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Hashable, _native.Choice]:
        """The class of these arguments, and its choice."""
        key = self.options.key
        kind = None if key is None else key(*args, **kwargs)
        choice = self._choices.get(kind)
        if choice is None:
            kind, choice = self._new(kind)
        if self.sharing is not None:
            self.sharing.look(kind, choice)
        return kind, choice

    def _new(self, kind: Hashable) -> tuple[Hashable, _native.Choice]:
        with self._lock:
            if len(self._choices) >= CLASSES_MAX:
                kind = ChoiceKeys.OTHERS
            return kind, self._choices.setdefault(kind, _native.Choice(len(self.names)))

    def is_to_be_verified(self) -> bool:
        """Whether the results of a call are to be compared."""
        return self.options.verify > 0 and random.random() < self.options.verify

    def ran(self, kind: Hashable, choice: _native.Choice, pick: _native.Pick, seconds: float) -> None:
        """An implementation took so long."""
        event = choice.ran(pick, seconds)
        if event is None:
            return
        what, number = event
        if what != "chosen":
            _logger.info(
                "%s: %s has become %s for arguments of class %s; all are compared again",
                self.name, self.names[number], what, kind,
            )  # fmt: skip
        self._tell(kind, choice)

    def failed(self, kind: Hashable, choice: _native.Choice, number: int, error: BaseException) -> None:
        """An implementation raised where the first one did not."""
        until_ms = round((time.time() + ChoiceKeys.BAN_S) * 1000)
        choice = self._change(kind, choice, lambda one: one.ban(number, until_ms))
        _logger.warning(
            "%s: %s raised %s where %s did not; it is left out for an hour for arguments of class %s",
            self.name, self.names[number], type(error).__name__, self.names[0], kind,
            exc_info=error,
        )  # fmt: skip
        self._tell(kind, choice)

    def differed(self, kind: Hashable, choice: _native.Choice, number: int) -> None:
        """An implementation gave something else than the first one."""
        choice = self._change(kind, choice, _native.Choice.pin)
        _logger.error(
            "%s: %s gave another result than %s for arguments of class %s; from now on %s does the work there",
            self.name, self.names[number], self.names[0], kind, self.names[0],
        )  # fmt: skip
        if self.sharing is not None:
            self.sharing.pinned(kind, self.names[number])
        self._tell(kind, choice)

    def is_right(self, kind: Hashable, number: int, right: Any, value: Any) -> bool | None:
        """Whether what an implementation gave is what the first one gives; None if they cannot be compared."""
        try:
            return bool(self.options.equal(right, value))
        except Exception as error:
            _logger.error(
                "%s: what %s and %s gave cannot be compared, for arguments of class %s; that of %s counts",
                self.name, self.names[number], self.names[0], kind, self.names[0],
                exc_info=error,
            )  # fmt: skip
            return None

    def _change(
        self, kind: Hashable, choice: _native.Choice, change: Callable[[_native.Choice], None]
    ) -> _native.Choice:
        """Changes the choice of a class, also where it has become another one since `choice` was it."""
        with self._lock:
            choice = self._choices.get(kind, choice)
            change(choice)
            return choice

    def _tell(self, kind: Hashable, choice: _native.Choice) -> None:
        if self.sharing is not None:
            self.sharing.changed(kind, choice)

    def share(self, sharing: Sharing) -> None:
        """Lets other processes know, and learns from them."""
        self.sharing = sharing
        sharing.adopt = self._adopt

    def _adopt(self, kind: Hashable, theirs: _native.Choice, wrong: str | None) -> None:
        """Somebody else knows more than we do."""
        with self._lock:
            ours = self._choices.get(kind)
            learned = None if ours is None else ours.learn(theirs)
        if learned == "pinned":
            _logger.warning(
                "%s: another process was given another result by %s than by %s for arguments of class %s; "
                "from now on %s does the work there",
                self.name, wrong or "one of the others", self.names[0], kind, self.names[0],
            )  # fmt: skip

    def rows(self) -> dict[Hashable, list[Implementation]]:
        """What is known, by class."""
        return {
            kind: [
                Implementation(name, standing, calls, *(times or (None, None, None)))
                for name, (standing, calls, times) in zip(self.names, choice.rows(), strict=True)
            ]
            for kind, choice in list(self._choices.items())
        }

    def text(self) -> str:
        """The same for people."""
        if not self._choices:
            return f"{self.name}: not called yet"
        lines = []
        for kind, rows in self.rows().items():
            pinned = ", pinned: another one gave other results" if self._choices[kind].is_pinned else ""
            of_class = "" if self.options.key is None else f" for arguments of class {kind}"
            lines.append(f"{self.name}{of_class}: {_calls(sum(row.calls for row in rows))}{pinned}")
            wide = max(len(row.name) for row in rows)
            lines += [f"  {row.name:{wide}}  {_STANDING[row.standing]:19}  {_times(row)}".rstrip() for row in rows]
        return "\n".join(lines)


def _times(row: Implementation) -> str:
    if row.median is None or row.low is None or row.high is None:
        return _calls(row.calls) if row.calls else ""
    return f"{time_of(row.median)} ({time_of(row.low)} to {time_of(row.high)}), {_calls(row.calls)}"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count:,} calls"


def _told_apart(names: list[str]) -> list[str]:
    """The same names, with numbers where there are several of one."""
    return [name if names.count(name) == 1 else f"{name}[{number}]" for number, name in enumerate(names)]


Implementation.__module__ = "lineshaft"

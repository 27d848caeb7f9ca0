"""What a thread waits at that is woken by other threads and by what it expects of the server."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any

from .. import _native

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bell"]


class Bell:
    """One thread waits; others ring, and replies of the server call what is to be done about them."""

    _pipe: tuple[int, ...] = ()

    def __init__(self) -> None:
        self._completions = _native.Completions()
        self._pipe = _pipe()
        self._read, self._write = self._pipe
        self._poll = select.poll()
        self._poll.register(self._completions.fileno(), select.POLLIN)
        self._poll.register(self._read, select.POLLIN)
        self._expected: dict[int, Callable[[], object]] = {}
        self._next = 0
        self._is_rung = False

    def ring(self) -> None:
        """Wakes the thread, or lets it not fall asleep."""
        if not self._is_rung:
            self._is_rung = True
            os.write(self._write, b"!")

    def expect(self, source: _native.Reply[Any] | _native.Waiting, then: Callable[[], object]) -> None:
        """Has `then` called in the thread, once, when `source` has something."""
        self._next += 1
        self._expected[self._next] = then
        source.notify(self._completions, self._next)

    def wait(self, timeout: float) -> bool:
        """Until it rings or `timeout` seconds have passed; calls what was expected, and says whether something was."""
        if any(descriptor == self._read for descriptor, _ in self._poll.poll(timeout * 1e3)):
            os.read(self._read, 64)
            self._is_rung = False  # who rang before this did so after changing what the thread looks at next
        tokens = self._completions.drain()
        for token in tokens:
            self._expected.pop(token)()
        return bool(tokens)

    def __del__(self) -> None:
        # Not before: who rings while a pool ends would write to a descriptor that is another one's by then.
        for descriptor in self._pipe:
            os.close(descriptor)


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write

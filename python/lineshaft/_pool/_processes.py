"""Workers that are processes, as their parent knows them."""

from __future__ import annotations

import mmap
import signal
import tempfile
import time
import warnings
from typing import TYPE_CHECKING, Any

from .._native import Claims, Line, log_context
from .._pickles import dumps
from . import _worker as worker
from ._hand import Hand, Workers
from ._parcel import NoRoom, Wire, Written
from ._reading import read
from ._report import POKE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.process import BaseProcess

    from ._agenda import Share
    from ._call import Call
    from ._report import Report

__all__ = ["Processes"]

_MESSAGES = 256
_ROOM_BYTES = 512 << 10
_ARENA_BYTES = 256 << 20
"""Address space for blocks; memory is taken as they are used. Less of it where the system gives a process no more."""
_ONCE_BYTES = 1 << 20
"""A function with larger arrays lies in memory once, and not once for each worker."""
_PAGE_BYTES = mmap.PAGESIZE
_GRACE_S = 0.5
"""From SIGTERM to SIGKILL."""


class Processes(Workers):
    """Those of a pool, each made by `make_process`."""

    encodes = True

    def __init__(
        self,
        make_process: Callable[..., BaseProcess],
        initializer: Callable[..., object] | None,
        initargs: Sequence[Any],
        *,
        memory_max: int | None,
        wraps_errors: bool,
    ) -> None:
        self._make_process = make_process
        self._initial = (initializer, initargs)
        self._memory_max = memory_max
        self._wraps_errors = wraps_errors
        results = Line(_ROOM_BYTES, _ARENA_BYTES)
        if not results.is_in_memory():
            message = f"the system gives no shared memory: this pool lies in files of {tempfile.gettempdir()}"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        self._results = Wire(results)

    def context(self) -> dict[str, Any]:
        """The fields with which it logs."""
        return log_context()

    def encode(self, function: Callable[..., Any]) -> Any:
        return dumps(function)

    def make(self, number: int) -> Hand:
        tasks, claims = Line(_ROOM_BYTES, _ARENA_BYTES), Claims()
        results = self._results.line
        equipment = worker.Equipment(tasks, results, claims, number, wraps_errors=self._wraps_errors)
        process = self._make_process(target=worker.work, args=(equipment, *self._initial))
        return _ProcessHand(number, claims, process, Wire(tasks), self._memory_max)

    def reports(self, timeout: float) -> list[Report]:
        messages = self._results.line.get(_MESSAGES, timeout)
        return [read(self._results, *message, is_pool=self._wraps_errors) for message in messages]

    def poke(self) -> None:
        # If there is no room, it is awake.
        self._results.line.put(POKE, b"", 0.0)

    def end(self, hands: Sequence[Hand]) -> None:
        try:
            for hand in hands:
                hand.member.terminate()
            deadline = time.monotonic() + _GRACE_S
            for hand in hands:
                hand.member.join(max(0.0, deadline - time.monotonic()))
        finally:  # Another Ctrl-C makes it shorter, and spares nobody.
            for hand in hands:
                hand.kill()
            for hand in hands:
                hand.bury()

    def join(self, hands: Sequence[Hand], timeout: float | None) -> None:
        pass  # `end` did


class _ProcessHand(Hand):
    def __init__(self, number: int, claims: Claims, process: BaseProcess, wire: Wire, memory_max: int | None) -> None:
        super().__init__(number, claims)
        self._process = process
        self._wire = wire
        self._memory_max = memory_max
        self._call = -1
        """The call whose function it has."""
        self._context: dict[str, Any] = {}
        """The log context that it has been told."""
        self._written: dict[int, list[Written]] = {}
        """What lies in files, by the slot of the share whose end says that it has been read."""
        self._why_killed: str | None = None
        """In words, if it was its parent that did it."""

    @property
    def member(self) -> BaseProcess:
        return self._process

    def start(self) -> None:
        # Ctrl-C waits until `work` can stand it. (The mask would stay with a server that is started now, and what it
        # forks.)
        waiting = set() if getattr(self._process, "_start_method", "") == "forkserver" else {signal.SIGINT}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
        try:
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:  # Ctrl-C that another thread let in: the end of the program would wait for the process.
            if self._process.pid is not None:
                self._process.kill()
                self._process.join()
            raise

    def pack(self, share: Share) -> tuple[bytes, list[memoryview]]:
        return dumps(share.items)

    def give(self, share: Share, packed: tuple[bytes, list[memoryview]]) -> int:
        (data, buffers), call, slot = packed, share.call, share.slot
        if call.context != self._context:
            self._tell(worker.FIELDS, call.context, slot)
            self._context = call.context
        if call.function is not None and self._call != call.number:
            self._teach(call, slot)
            self._call = call.number
        head = worker.SHARE.pack(slot, share.number, share.end - share.begin, call.at_a_time, call.style)
        if not self._post(worker.ITEMS, head, data, buffers):
            self._post_written(worker.ITEMS, Written(head, data, buffers), slot)
        return len(data) + _bytes_of(buffers)

    def _tell(self, tag: int, value: Any, slot: int) -> None:
        data, buffers = dumps(value)
        if not self._post(tag, b"", data, buffers):
            self._post_written(tag, Written(b"", data, buffers), slot)

    def _teach(self, call: Call, slot: int) -> None:
        """Gives it the function of a call."""
        assert call.function is not None
        data, buffers = call.function
        if _bytes_of(buffers) <= _ONCE_BYTES and self._post(worker.FUNCTION, b"", data, buffers):
            return
        if call.written is None:
            call.written = Written(b"", data, buffers)
        self._post_written(worker.FUNCTION, call.written, slot)

    def _post(self, tag: int, head: bytes, data: bytes, buffers: list[memoryview]) -> bool:
        """Whether there is room for it."""
        try:
            self._wire.post(tag, head, data, buffers, 0.0)
        except (NoRoom, ValueError, OSError):  # or the system has none
            return False
        return True

    def _post_written(self, tag: int, message: Written, slot: int) -> None:
        self._wire.post_written(tag, message)
        self._written.setdefault(slot, []).append(message)

    def let_go(self, slot: int) -> None:
        self._written.pop(slot, None)

    def has_ended(self) -> bool:
        if self._memory_max is not None:
            self._limit_memory(self._memory_max)
        return self._process.exitcode is not None

    def _limit_memory(self, most: int) -> None:
        """Kills it if it has more than so many bytes."""
        try:
            with open(f"/proc/{self._process.pid}/statm", "rb") as file:
                resident = int(file.read().split()[1]) * _PAGE_BYTES
        except OSError:
            return  # it has ended
        if resident > most:
            self._why_killed = f"had {resident >> 20} MiB of memory, where {most >> 20} are the most, and was killed"
            self._process.kill()

    def bury(self) -> tuple[int | None, str]:
        self._process.join()
        self._written.clear()
        code = self._process.exitcode
        return code, self._why_killed or _in_words(code)

    def kill(self) -> bool:
        self._process.kill()
        return True

    def leave(self) -> None:
        self.is_leaving = True
        try:
            self._wire.post(worker.ENDING, b"", b"", [], 0.0)
        except NoRoom:
            self._process.terminate()


def _bytes_of(buffers: Sequence[memoryview]) -> int:
    return sum(buffer.nbytes for buffer in buffers)


def _in_words(code: int | None) -> str:
    """In words, how a process ended."""
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"

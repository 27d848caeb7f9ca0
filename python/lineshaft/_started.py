"""Which attempt started which process, where many attempts share one: so those of a stopped one end with it.

A process group tells it where a slot is a process. Here the functions that start processes are wrapped: they run in the
context of whoever calls them, which says the attempt. What starts processes elsewhere (C code, threads that
belong to no attempt) is not seen.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from . import _native
from ._current import _running

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["watch", "watch_loop"]

_is_watched = False


def _note(pid: int) -> None:
    """The attempt that runs in this context, if there is one, started a process."""
    attempt = _running.get()
    if attempt is not None and pid > 0:
        attempt.note_process(pid)


def watch() -> None:
    """From here on, what attempts start in this process is theirs."""
    global _is_watched
    if _is_watched:
        return
    _is_watched = True
    import _posixsubprocess
    import multiprocessing.process

    for name in ("fork", "posix_spawn", "posix_spawnp"):
        setattr(os, name, _native.Starter(getattr(os, name), _running, "pid"))
    os.forkpty = _native.Starter(os.forkpty, _running, "pair")
    fork_exec = _native.Starter(_posixsubprocess.fork_exec, _running, "pid of command")
    _posixsubprocess.fork_exec = fork_exec
    subprocess: Any = sys.modules.get("subprocess")
    if hasattr(subprocess, "_fork_exec"):  # since Python 3.11 it has the function itself
        subprocess._fork_exec = fork_exec
    base: Any = multiprocessing.process.BaseProcess
    base.start = _noting_process(base.start)


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """The same for a loop that starts processes by itself, as that of uvloop does."""
    import asyncio

    if isinstance(loop, asyncio.BaseEventLoop):
        return  # by `subprocess`
    for name in ("subprocess_exec", "subprocess_shell"):
        setattr(loop, name, _noting_transport(getattr(loop, name)))


def _noting_process(function: Callable[..., None]) -> Callable[..., None]:
    """For those that a fork server starts; others are noted already."""
    import functools

    @functools.wraps(function)
    def start(process: Any) -> None:
        try:
            function(process)
        finally:
            _note(process.pid or 0)

    return start


def _noting_transport(function: Callable[..., Any]) -> Callable[..., Any]:
    async def start(*args: Any, **options: Any) -> Any:
        transport, protocol = await function(*args, **options)
        _note(transport.get_pid() or 0)
        return transport, protocol

    return start

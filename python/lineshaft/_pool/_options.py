"""Options of pools: what they may be, said before anything is started."""

from __future__ import annotations

from typing import Any

from .._errors import OptionError
from .._native import parse_size

__all__ = ["chunk_of", "context_of", "is_threaded", "retries_of", "size_of", "whole"]

SHARE_MAX = (1 << 24) - 1
"""Most items that a worker is given at a time."""
_RETRIES_MAX = (1 << 32) - 1
_MEMORY_MIN = 1 << 20
"""No process has less."""


def whole(name: str, value: Any) -> int:
    """A whole number; `TypeError` that names it for anything else."""
    try:
        return int(value.__index__())
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def chunk_of(chunksize: int | None, refusal: str) -> int | None:
    """How many items are begun at a time, as far as that can be. `ValueError` for less than one."""
    if chunksize is None:
        return None
    chunk = whole("chunksize", chunksize)
    if chunk < 1:
        raise ValueError(refusal.format(chunk))
    return min(chunk, SHARE_MAX)


def retries_of(retries: int) -> int:
    """How often an item is done again; `OptionError` for what is no such number."""
    number = whole("retries", retries)
    if not 0 <= number <= _RETRIES_MAX:
        raise OptionError(f"option `retries`: {number} is not accepted", hint=f"accepted: 0 to {_RETRIES_MAX}")
    return number


def size_of(memory: int | str | None) -> int | None:
    """Bytes; `OptionError` for what is no size, or smaller than any process."""
    if memory is None:
        return None
    size = parse_size("memory", memory) if isinstance(memory, str) else whole("memory", memory)
    if size < _MEMORY_MIN:
        hint = "give what a whole process may have, such as '512MiB'"
        raise OptionError(f"option `memory`: {memory!r} is less than any process has", hint=hint)
    return size


def context_of(name: str, context: Any) -> Any:
    """A context of `multiprocessing`; `OptionError` for what is none, such as its name."""
    if context is None or hasattr(context, "get_start_method"):
        return context
    method = context if context in ("fork", "spawn", "forkserver") else "spawn"
    raise OptionError(
        f"option `{name}`: {context!r} is not a context", hint=f"give multiprocessing.get_context({method!r})"
    )


def is_threaded(kind: str, **of_processes: object) -> bool:
    """Whether workers are to be threads. `OptionError` if no kind is called so, or for what threads do not have."""
    if kind not in ("process", "thread"):
        raise OptionError(f"option `kind`: {kind!r} is not accepted", hint="accepted: 'process' or 'thread'")
    if kind == "thread":
        for name, value in of_processes.items():
            if value is not None:
                raise OptionError(
                    f"option `{name}`: threads have none of their own", hint="leave it out, or kind='process'"
                )
    return kind == "thread"

"""Where results are that all processes of a host share: one table for each home, in shared memory."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import threading
import weakref
from types import CodeType, MethodType
from typing import TYPE_CHECKING, Any

from .. import _native
from .._names import canonical_module

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["host_table", "leave_tables", "namespace"]

DIRECTORY = "/dev/shm"

_tables: dict[str, _native.HostTable | None] = {}
"""By path; None where it could not be made, which was said."""
_open: weakref.WeakSet[_native.HostTable] = weakref.WeakSet()
_making = threading.Lock()


def host_table(home: str, room_bytes: int) -> _native.HostTable | None:
    """The table of a home on this host. None, once it was said why, where there is none to be had."""
    # The same file for all who reach the home, whatever they call it.
    digest = hashlib.sha256(os.path.realpath(home).encode(errors="surrogateescape")).hexdigest()[:16]
    path = f"{DIRECTORY}/lineshaft-{os.geteuid()}-{digest}"
    with _making:
        if path not in _tables:
            _tables[path] = _opened(path, room_bytes)
        return _tables[path]


def _opened(path: str, room_bytes: int) -> _native.HostTable | None:
    try:
        table = _native.HostTable(path, room_bytes)
    except OSError as error:
        logging.getLogger("lineshaft").warning(
            "the processes of this host cannot share results, so each keeps its own: %s", error
        )
        return None
    _open.add(table)
    return table


def namespace(function: Callable[..., Any]) -> bytes:
    """What keys of a function begin with: its name and its code, with that of the functions that it wraps and closes
    over and the plain values among those, so that what other code has computed is not its.
    """
    digest = hashlib.sha256()
    module = canonical_module(getattr(function, "__module__", ""))
    name = getattr(function, "__qualname__", repr(function))
    digest.update(f"{module}\0{name}\0".encode(errors="surrogateescape"))
    _add_function(digest, function, set())
    return digest.digest()[:16]


def _add_function(digest: Any, function: Any, seen: set[int]) -> None:
    if id(function) in seen:
        return
    seen.add(id(function))
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        _add(digest, code)
    for cell in getattr(function, "__closure__", None) or ():
        try:
            held = cell.cell_contents
        except ValueError:  # empty as yet: the function itself, for example
            continue
        if isinstance(held, _PLAIN):
            digest.update(f"{type(held).__qualname__}\0{held!r}\0".encode(errors="surrogateescape"))
        elif callable(held):
            _add_function(digest, held, seen)
    inner = getattr(function, "__wrapped__", None)
    if isinstance(function, functools.partial):
        inner = function.func
    elif isinstance(function, MethodType):
        inner = function.__func__
    if callable(inner):
        _add_function(digest, inner, seen)


_PLAIN = (str, bytes, int, float, complex, bool, type(None))
"""What is the same text in every process."""


def _add(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update("\0".join(code.co_names + code.co_varnames).encode(errors="surrogateescape"))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add(digest, constant)
        else:
            # Sets have an order of their own in each process.
            text = repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)
            digest.update(text.encode(errors="surrogateescape"))


def _forked() -> None:
    global _making
    _making = threading.Lock()
    for table in list(_open):
        try:
            table.forked()
        except OSError:
            table.close()


def leave_tables() -> None:
    """As the interpreter ends."""
    for table in list(_open):
        table.close()


os.register_at_fork(after_in_child=_forked)

"""Large arrays of tasks, of which all workers see one copy.

An array is written once to a file without a name, in memory unless a folder is given; what goes to a worker is where
it lies. A worker maps it, as `numpy.memmap`. The file is there as long as its array or a task that is not done.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import re
import sys
import tempfile
import warnings
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Segment", "SharedArrays", "array_kinds", "reduce_result"]

_KEPT_MAX = 64
"""Arrays whose copy is kept for further tasks of the call. Each takes a descriptor."""
_WRITTEN_MAX = 1 << 30
"""Bytes that are written at a time; the kernel takes no more than 2 GiB."""
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
_OURS = re.compile(r"/proc/\d+/fd/\d+")


class Segment:
    """A copy of an array, there as long as this object."""

    def __init__(self, array: Any, folder: str | None) -> None:
        self._file: Any = _new_file(folder)  # closed by `__del__`
        self.order = "C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F"
        left = memoryview(_bytes_of(array, self.order))
        try:
            while left:
                left = left[self._file.write(left[:_WRITTEN_MAX]) :]
        except OSError as error:
            place = folder or "memory, or the directory for temporary files where there is none"
            message = f"an array of {array.nbytes} bytes has no room in {place}, give another temp_folder"
            raise OSError(error.errno, f"{message}: {error.strerror}") from error

    @property
    def path(self) -> str:
        """How other processes of this user open it."""
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}"

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class SharedArrays:
    """The arrays of one call of `Parallel`. One thread at a time packs its tasks."""

    def __init__(self, bytes_min: int | None, mode: str | None, folder: str | None) -> None:
        self._bytes_min = None if mode is None else bytes_min
        """Larger ones are shared; None for none."""
        self._mode = "r+" if mode == "w+" else mode
        self._folder = folder
        self._kept: dict[int, tuple[weakref.ref[Any], Segment]] = {}
        """By the identity of their array, the one that was used last at the end."""
        self._used: list[Segment] = []

    def take_used(self) -> list[Segment]:
        """Those that were used since the last time, to be kept until nobody needs them."""
        used, self._used = self._used, []
        return used

    def clear(self) -> None:
        """The call is over: an array of the next one may have changed."""
        self._kept.clear()

    def reduce(self, array: Any) -> Any:
        """How an array goes to a worker: `NotImplemented` for as any other object."""
        origin = _origin(array)
        if origin is not None and origin.mode != "c":
            return _reduce_mapped(array, origin)
        if self._bytes_min is None or array.nbytes <= self._bytes_min:
            return _reduce_plain(array)
        try:
            segment = self._segment(array)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            return _reduce_plain(array)
        self._used.append(segment)
        return map_array, (segment.path, array.dtype, self._mode, 0, array.shape, segment.order)

    def _segment(self, array: Any) -> Segment:
        key = id(array)
        reference, segment = self._kept.pop(key, (None, None))
        if reference is None or segment is None or reference() is not array:
            segment = Segment(array, self._folder)
            kept = self._kept  # without `self`, which a long-lived array would keep
            reference = weakref.ref(array, lambda _: kept.pop(key, None))
        self._kept[key] = reference, segment
        while len(self._kept) > _KEPT_MAX:
            self._kept.pop(next(iter(self._kept)), None)
        return segment


def _new_file(folder: str | None) -> Any:
    """Without a name: in memory, or in a folder where one is given or the system gives no memory."""
    if folder is None:
        try:
            return io.FileIO(os.memfd_create("lineshaft-array"), "r+")
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                raise
            folder = tempfile.gettempdir()
            message = f"the system gives no shared memory: arrays of tasks lie in files of {folder}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    return tempfile.TemporaryFile(buffering=0, dir=folder)


def array_kinds() -> tuple[type, ...]:
    """The classes of arrays that are no subclass with more to it. Who has not imported numpy has none."""
    numpy: Any = sys.modules.get("numpy")
    return (numpy.ndarray, numpy.memmap) if hasattr(numpy, "memmap") else ()


def reduce_result(array: Any) -> Any:
    """How an array goes from a worker: one in a file of the user's as its place there, others as what they hold."""
    import numpy

    origin = _origin(array)
    if origin is None:
        return _reduce_plain(array)
    if origin.mode == "c" or _OURS.fullmatch(os.fspath(origin.filename)):
        return numpy.array(array).__reduce_ex__(5)  # a copy, which may be written to
    return _reduce_mapped(array, origin)


def map_array(
    path: str,
    dtype: Any,
    mode: str,
    offset: int,
    shape: Sequence[int],
    order: str,
    strides: Sequence[int] | None = None,
    bounds: tuple[int, int] = (0, 0),
) -> Any:
    """The array in a file.

    With `strides` it has gaps; `bounds` are then the place of its first item in what is mapped, and the bytes of that.
    """
    import numpy

    if strides is None:
        return numpy.memmap(path, dtype, mode, offset, tuple(shape), order)  # type: ignore[call-overload]
    start, length = bounds
    base = numpy.memmap(path, numpy.uint8, mode, offset, (length,))  # type: ignore[call-overload]
    return numpy.ndarray(shape, dtype, base, start, strides)


def _bytes_of(array: Any, order: str) -> Any:
    """Its bytes as they lie in memory; of one with gaps, those of a copy."""
    import numpy

    flat = numpy.ascontiguousarray(array if order == "C" else array.T)
    return flat.reshape(-1).view(numpy.uint8)


def _origin(array: Any) -> Any:
    """The `numpy.memmap` of a file that it looks at."""
    import numpy

    viewed = array
    while (base := getattr(viewed, "base", None)) is not None:
        if isinstance(base, mmap.mmap):
            is_file = isinstance(viewed, numpy.memmap) and viewed.filename is not None
            return viewed if is_file else None
        viewed = base
    return None


def _reduce_mapped(array: Any, origin: Any) -> Any:
    start = array.__array_interface__["data"][0]
    reach = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    first = start + sum(step for step in reach if step < 0)
    end = start + sum(step for step in reach if step > 0) + array.itemsize
    offset = origin.offset + first - origin.__array_interface__["data"][0]
    mode = "r+" if origin.mode == "w+" else origin.mode  # what is there shall stay
    place = os.fspath(origin.filename), array.dtype, mode, offset, array.shape
    if array.flags.c_contiguous or array.flags.f_contiguous:
        return map_array, (*place, "C" if array.flags.c_contiguous else "F")
    return map_array, (*place, "C", array.strides, (start - first, end - first))


def _reduce_plain(array: Any) -> Any:
    import numpy

    return numpy.asarray(array).__reduce_ex__(5) if type(array) is numpy.memmap else NotImplemented

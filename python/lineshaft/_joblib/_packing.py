"""Tasks and results as bytes.

They are packed by cloudpickle, so that functions of the main module and lambdas go along, except for large arrays
(`_arrays.py`).
"""

from __future__ import annotations

import io
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._arrays import array_kinds, reduce_result

try:
    import cloudpickle
except ModuleNotFoundError:  # joblib 1.5 has its own
    from joblib.externals import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pickle import PickleBuffer

    from ._arrays import SharedArrays

__all__ = ["pack", "pack_result"]

_BESIDE_MIN = 64 << 10
"""Bytes of a buffer of a result that is not copied into it."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, with as little Python as can be for each object: most are none of its business."""

    def __init__(self, stream: io.BytesIO, reduce_array: Callable[[Any], Any], **options: Any) -> None:
        # In place of a table that looks in two others.
        self.dispatch_table = {**cloudpickle.Pickler.dispatch_table}
        super().__init__(stream, protocol=5, **options)
        self._reduce_array = reduce_array
        self._arrays = array_kinds()
        self.modules: set[str] = set()
        """Those of the classes and functions that were packed."""

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind in self._arrays:
            return NotImplemented if value.dtype.hasobject else self._reduce_array(value)
        if kind is FunctionType or issubclass(kind, type):
            if isinstance(value.__module__, str):
                self.modules.add(value.__module__)
            return super().reducer_override(value)
        return NotImplemented


def pack(value: object, arrays: SharedArrays) -> tuple[bytes, set[str]]:
    """The bytes of what goes to a worker, and the modules that it names."""
    stream = io.BytesIO()
    pickler = _Pickler(stream, arrays.reduce)
    pickler.dump(value)
    return stream.getvalue(), pickler.modules


def pack_result(value: object) -> tuple[bytes, list[PickleBuffer]]:
    """The bytes of what comes back, and its large buffers."""
    stream = io.BytesIO()
    beside: list[PickleBuffer] = []

    def is_within(buffer: PickleBuffer) -> bool:
        try:
            is_small = buffer.raw().nbytes < _BESIDE_MIN
        except BufferError:  # it has gaps
            return True
        if not is_small:
            beside.append(buffer)
        return is_small

    _Pickler(stream, reduce_result, buffer_callback=is_within).dump(value)
    return stream.getvalue(), beside

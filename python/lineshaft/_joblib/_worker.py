"""What workers do for joblib."""

from __future__ import annotations

import pickle
import sys
import traceback
from typing import Any

from .._pool._report import forget_frames
from . import register_joblib
from ._packing import pack_result

__all__ = ["begin", "run"]


def begin(packed: bytes) -> None:
    """A worker has been forked: calls the initializer of the user, which comes with its arguments."""
    register_joblib()  # for a `Parallel` within a task
    random: Any = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()  # The template's, which all workers would go on with.
    initializer, initargs = pickle.loads(packed)
    if initializer is not None:
        initializer(*initargs)


def run(packed: bytes) -> tuple[bytes, list[pickle.PickleBuffer], str]:
    """What a batch of tasks gives, or raises if there is a text, which is the traceback."""
    try:
        value = pickle.loads(packed)()
        try:
            return *pack_result(value), ""
        except Exception as error:
            raise pickle.PicklingError(f"could not pickle the result of the task: {error}") from error
    except BaseException as error:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        forget_frames(error)
        try:
            return *pack_result(error), text
        except Exception as refusal:
            why = f"could not pickle the exception of the task: {type(refusal).__name__}: {refusal}"
            return pickle.dumps(pickle.PicklingError(why)), [], text

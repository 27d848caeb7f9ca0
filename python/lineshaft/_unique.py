"""Unique jobs: the key by which equal calls are recognised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ._errors import DeclarationError, OptionError
from ._options import DURATION_FORMS, duration, wrong

if TYPE_CHECKING:
    from ._options import Duration
    from ._task import BaseTask

__all__ = ["Unique"]


class Unique:
    """At most one job with the same key; a second `enqueue` answers with the job that is there.

    `by` says what makes calls equal: None is all arguments, a name or a tuple of names is these arguments, a callable
    with the task's signature computes a value. Defaults are applied before. `while_` is how long the key keeps others
    out: `"unfinished"` until the job has ended, `"queued"` until it first runs. With `period` it also does so for that
    time after the job was enqueued, whatever has become of it.
    """

    __slots__ = ("by", "period", "while_")

    def __init__(
        self,
        by: str | tuple[str, ...] | Callable[..., Any] | None = None,
        *,
        while_: Literal["unfinished", "queued"] = "unfinished",
        period: Duration | None = None,
    ) -> None:
        if while_ not in ("unfinished", "queued"):
            raise wrong("while_", while_, '"unfinished" or "queued"')
        if not (by is None or isinstance(by, str | tuple) or callable(by)):
            raise wrong("by", by, "the name of an argument, a tuple of names or a callable")
        self.by = (by,) if isinstance(by, str) else by
        self.while_ = while_
        self.period = None if period is None else _period(period)
        """Seconds."""

    def __repr__(self) -> str:
        period = "" if self.period is None else f", period={self.period!r}"
        return f"Unique(by={self.by!r}, while_={self.while_!r}{period})"

    def check(self, task: BaseTask[..., Any]) -> None:
        """Refuses names that the task has no parameter for, and functions that do not take what it takes."""
        if not isinstance(self.by, tuple):
            if self.by is not None:
                _check_callable(self.by, task)
            return
        known = task.signature.parameters
        for name in self.by:
            if name not in known:
                raise DeclarationError(
                    f"{task.name}: `unique` names {name!r}, which is not one of its parameters",
                    hint=f"its parameters: {', '.join(known) or 'none'}",
                )

    def key(self, task: BaseTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The key of one call: the task's name and a hash of what `by` selects."""
        digest = digest_of(task, self._selected(task, args, kwargs))
        return f"{task.name.encode()[:200].decode(errors='ignore')}:{digest}"

    def _selected(self, task: BaseTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = task.binder.bind(args, kwargs)
        bound.apply_defaults()
        if callable(self.by):
            try:
                return self.by(*bound.args, **bound.kwargs)
            except Exception as error:
                raise _failure(self.by, task, args, error) from error
        if self.by is None:
            return list(bound.arguments.items())
        return [bound.arguments[name] for name in self.by]


def _check_callable(by: Callable[..., Any], task: BaseTask[..., Any]) -> None:
    import inspect

    parameters = task.signature.parameters.values()
    keywords = {one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY}
    positional = [None for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    try:
        inspect.signature(by).bind(*positional, **keywords)
    except TypeError as error:
        raise DeclarationError(
            f"{task.name}: the `by` of its `unique` cannot be called as the task is: {error}",
            hint=f"it takes what the task takes, {task.signature}, with defaults applied",
        ) from None
    except ValueError:
        return  # a function in C that does not say what it takes


def _failure(by: Callable[..., Any], task: BaseTask[..., Any], args: tuple[Any, ...], error: Exception) -> OptionError:
    name = getattr(by, "__qualname__", type(by).__qualname__)
    code = getattr(by, "__code__", None)
    place = "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
    failure = OptionError(
        f"{task.name}: {name}{place}, the `by` of its `unique`, raised {type(error).__name__}: {error}",
        hint="it takes what the task takes, with defaults applied; the call was not enqueued",
    )
    failure.__dict__["call_args"] = args
    return failure


def _period(value: Duration) -> float:
    seconds = duration("period", value)
    if seconds < 0.001:
        raise wrong("period", value, f"at least 1 ms, as {DURATION_FORMS}; None for no period")
    return seconds


def digest_of(task: BaseTask[..., Any], value: Any) -> str:
    """A hash of the task's name and of `value`, the same in every process."""
    import hashlib

    encoded = task.app._types.encode(canonical(value))
    return hashlib.blake2b(task.name.encode() + b"\0" + encoded, digest_size=16).hexdigest()


def canonical(value: Any) -> Any:
    """`value` in a form that encodes equally in every process: sets and dicts have no order of their own."""
    if isinstance(value, set | frozenset):
        return ("set", sorted((canonical(item) for item in value), key=repr))
    if isinstance(value, dict):
        pairs = [(canonical(key), canonical(item)) for key, item in value.items()]
        return ("dict", sorted(pairs, key=lambda pair: repr(pair[0])))
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value

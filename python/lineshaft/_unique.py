"""Unique jobs: the key by which equal calls are recognised."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ._errors import DeclarationError
from ._options import wrong

if TYPE_CHECKING:
    from ._task import BaseTask

__all__ = ["Unique"]


class Unique:
    """At most one job with the same key; a second `enqueue` answers with the job that is there.

    `by` says what makes calls equal: None is all arguments, a name or a tuple of names is these arguments, a callable
    with the task's signature computes a value. Defaults are applied before. `while_` is how long the key keeps others
    out: `"unfinished"` until the job has ended, `"queued"` until it first runs.
    """

    __slots__ = ("by", "while_")

    def __init__(
        self,
        by: str | tuple[str, ...] | Callable[..., Any] | None = None,
        *,
        while_: Literal["unfinished", "queued"] = "unfinished",
    ) -> None:
        if while_ not in ("unfinished", "queued"):
            raise wrong("while_", while_, '"unfinished" or "queued"')
        if not (by is None or isinstance(by, str | tuple) or callable(by)):
            raise wrong("by", by, "the name of an argument, a tuple of names or a callable")
        self.by = (by,) if isinstance(by, str) else by
        self.while_ = while_

    def __repr__(self) -> str:
        return f"Unique(by={self.by!r}, while_={self.while_!r})"

    def check(self, task: BaseTask[..., Any]) -> None:
        """Refuses names that the task has no parameter for."""
        if not isinstance(self.by, tuple):
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
        import hashlib

        value = canonical(self._selected(task, args, kwargs))
        name = task.name.encode()
        digest = hashlib.blake2b(name + b"\0" + task.app._types.encode(value), digest_size=16).hexdigest()
        return f"{name[:200].decode(errors='ignore')}:{digest}"

    def _selected(self, task: BaseTask[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if callable(self.by):
            return self.by(*args, **kwargs)
        bound = task.binder.bind(args, kwargs)
        bound.apply_defaults()
        if self.by is None:
            return list(bound.arguments.items())
        return [bound.arguments[name] for name in self.by]


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

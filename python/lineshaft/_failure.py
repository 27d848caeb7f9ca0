"""`on_failure`: the task that handles jobs which gave up.

What the engine makes of a job that gives up is settled when that job is enqueued: a *handler*, with the queue, the
priority, the retries and so on that the handling task has then, and with what handles its own failure.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ._errors import DeclarationError
from ._options import name, wrong

if TYPE_CHECKING:
    from ._app import App
    from ._task import BaseTask

__all__ = ["check_app", "check_row", "handler", "handlers_of", "unknown_handlers"]

HANDLERS_MAX = 4
"""How many handlers may follow from one job; the server refuses more."""


def handler(option: str, value: object) -> BaseTask[..., Any] | str | None:
    """A task that takes one argument, the name of a task, or None."""
    from ._task import BaseTask

    if value is None:
        return None
    if isinstance(value, str):
        return name(option, value)
    if isinstance(value, BaseTask):
        _check_signature(value)
        return value
    raise wrong(option, value, "a task (a function becomes one with @app.task), the name of a task, or None")


def check_row(task: BaseTask[..., Any], declared: Mapping[str, BaseTask[..., Any]]) -> None:
    """Raises `DeclarationError` if the handlers after `task`, as far as they are declared, go round or are too many."""

    def step(value: BaseTask[..., Any] | str) -> tuple[str, Any]:
        found = declared.get(value) if isinstance(value, str) else value
        return (str(value), None) if found is None else (found.name, found.options.get("on_failure"))

    _follow(task.name, task.options.get("on_failure"), step)


def check_app(app: App, task: BaseTask[..., Any]) -> None:
    """Raises `DeclarationError` if the handler of `task` was declared with another app, where no include helps."""
    from ._task import BaseTask

    value = task.options.get("on_failure")
    if isinstance(value, BaseTask) and value.name not in app._declared:
        owner = vars(value).get("app")
        if owner is not None and owner is not app:
            raise _of_another_app(task.name, value)


def handlers_of(app: App, owner: str, value: BaseTask[..., Any] | str | None) -> list[tuple[str, int, dict[str, Any]]]:
    """Name, version and options of each handler after a job of `owner`, the first one first.

    A name that the app does not declare is that of a task elsewhere, which has the default options.
    """
    found: list[tuple[str, int, dict[str, Any]]] = []

    def step(value: BaseTask[..., Any] | str) -> tuple[str, Any]:
        task = _find(app, owner, value)
        known = (str(value), 1, {}) if task is None else (task.name, task.version, task._effective)
        found.append(known)
        return known[0], known[2].get("on_failure")

    _follow(owner, value, step)
    return found


def unknown_handlers(app: App) -> list[str]:
    """Says which handlers the app does not declare; raises `DeclarationError` for those that cannot be handlers."""
    words = []
    for task in app.tasks.values():
        for named, _, _ in handlers_of(app, task.name, task._effective.get("on_failure")):
            if named not in app._declared:
                near = difflib.get_close_matches(named, app._declared, n=1)
                guess = f": did you mean {near[0]!r}?" if near else ""
                words.append(f"{task.name}: the app does not declare its `on_failure`, {named!r}{guess}")
    return words


def _follow(owner: str, value: Any, step: Callable[[Any], tuple[str, Any]]) -> None:
    row = [owner]
    while value is not None:
        named, value = step(value)
        row.append(named)
        if named in row[:-1]:
            raise DeclarationError(
                f"{owner}: `on_failure` goes round in a circle: {' -> '.join(row)}",
                hint="what handles a failure must not lead back to itself: on_failure=None ends the row",
            )
        if len(row) > HANDLERS_MAX + 1:
            raise DeclarationError(
                f"{owner}: more than {HANDLERS_MAX} handlers of failures in a row: {' -> '.join(row)}",
                hint="on_failure=None ends the row",
            )


def _find(app: App, owner: str, value: BaseTask[..., Any] | str) -> BaseTask[..., Any] | None:
    """The app's own task that is meant; None for the name of a task elsewhere."""
    named = value if isinstance(value, str) else value.name
    if named not in app._declared:
        app._includes.load()
    task = app._declared.get(named)
    if task is not None:
        _check_signature(task)
        _check_options(owner, task)
    elif not isinstance(value, str):
        raise _of_another_app(owner, value)
    return task


def _of_another_app(owner: str, value: BaseTask[..., Any]) -> DeclarationError:
    if vars(value).get("app") is None:
        fix = f"app.include({value.function.__module__!r}) makes it one"
    else:
        fix = "apps share tasks that are declared with a `lineshaft.Tasks` and included by both"
    return DeclarationError(
        f"{owner}: its `on_failure`, {value.name}, is not a task of the same app",
        hint=f"{fix}; on_failure={value.name!r} means one elsewhere",
    )


def _check_signature(task: BaseTask[..., Any]) -> None:
    try:
        task.signature.bind(object())
    except TypeError:
        raise DeclarationError(
            f"{task.name}{task.signature} cannot be an `on_failure`: it is called with one argument, the failed job",
            hint=f"def {task.name.rpartition('.')[2]}(job: Job[Any]) -> None: ...",
        ) from None


def _check_options(owner: str, task: BaseTask[..., Any]) -> None:
    """What has to be known when the failing job is enqueued."""
    options = task._effective
    unique = options.get("unique")
    if unique is not None and (callable(unique.by) or unique.period is not None):
        raise DeclarationError(
            f"{owner}: its `on_failure`, {task.name}, has a `unique` that cannot be computed before the failure",
            hint=f"let {task.name} enqueue another task with it; there is one handler for each failure in any case",
        )
    for option in ("expires", "deadline"):
        if isinstance(options.get(option), datetime):
            raise DeclarationError(
                f"{owner}: its `on_failure`, {task.name}, has an instant as `{option}`",
                hint='give a duration from the failure on, such as "1h"',
            )

"""Hooks: what an app wants to hear about its jobs, such as for tracing, metrics and audits.

`Hooks` has a method for each event, none of which does anything; a class of hooks overrides some. `HookSet` is what an
app holds of them: for each event the methods that are overridden, so that events nobody listens to cost nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ._declare import is_async_function
from ._errors import Cancel, Cancelled, DeclarationError, NotOpened, Snooze, TimedOut
from ._native import Call
from ._options import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ._job import Job
    from ._task import BaseTask

__all__ = ["HookSet", "Hooks"]


class Hooks:
    """The events of jobs. Override what is of interest, and pass an instance: `App(hooks=[Audit()])`.

    Methods are ordinary functions that return soon, also in async programs. What begins (`before_...`) is told to hooks
    in their order, what ends in reverse. Only `before_enqueue` may stop or change something; an error in any other
    method is logged, and the job goes on as if there were no hook. During an attempt `lineshaft.current` is known.
    """

    def before_enqueue(self, call: Call[Any], /) -> Call[Any] | None:
        """A call is about to become a job. To change it, return another, such as `call.using(tags=["x"])`.

        What it raises is raised by `enqueue`, and no job is made.
        """

    def after_enqueue(self, job: Job[Any], /) -> None:
        """A job was made and is durable, or one that was there answers (`job.existing`)."""

    def before_attempt(self, call: Call[Any], /) -> None:
        """An attempt begins, in the worker; `call` is the task with the arguments of the job."""

    def after_attempt(self, call: Call[Any], outcome: str, /) -> None:
        """An attempt ended: `"succeeded"`, `"errored"`, `"timed_out"`, `"cancelled"`, `"snoozed"`, or given back
        (`"released"`: its worker stopped, or a resource did not open) or `"lost"` with its lease.

        Not called if its process died.
        """

    def on_failure(self, call: Call[Any], error: BaseException, /) -> None:
        """An attempt raised `error` or ran too long: `TimedOut`, in a shared loop a `CancelledError` that says so.

        Called before `after_attempt`.
        """

    def on_cancel(self, call: Call[Any], error: BaseException, /) -> None:
        """An attempt was cancelled, or cancelled its job itself. Called before `after_attempt`."""


SAID = {
    "the attempt ran longer than its timeout": "timed_out",
    "the attempt belongs to another worker by now": "lost",
    "the worker stops, and its grace is over": "released",
}
"""What a body is told that is to stop though nobody cancelled its job, and how its attempt then ends."""

_EVENTS = ("before_enqueue", "after_enqueue", "before_attempt", "after_attempt", "on_failure", "on_cancel")
_OF_ATTEMPTS = _EVENTS[2:]
HOOKS = "a list of instances of classes that inherit from lineshaft.Hooks"
"""What `App(hooks=...)` takes."""


class HookSet:
    """The hooks of one app."""

    __slots__ = ("_methods", "after_enqueue", "before_enqueue", "hears_attempts")

    def __init__(self, hooks: Iterable[Hooks]) -> None:
        if isinstance(hooks, (Hooks, type)):
            raise wrong("hooks", hooks, HOOKS)
        given = tuple(hooks)
        for hook in given:
            _check(hook)
        self._methods = {event: _listening(given, event) for event in _EVENTS}
        self.before_enqueue: Sequence[Callable[[Call[Any]], Call[Any] | None]] = self._methods["before_enqueue"]
        self.after_enqueue: Sequence[Callable[[Job[Any]], None]] = self._methods["after_enqueue"]
        self.hears_attempts = any(self._methods[event] for event in _OF_ATTEMPTS)

    def changed(self, call: Call[Any]) -> Call[Any]:
        """The call as the hooks want it; raises what they raise."""
        for method in self.before_enqueue if isinstance(call, Call) else ():
            changed = method(call)
            if changed is not None and not isinstance(changed, Call):
                raise TypeError(f"hook {_name(method)} returned {changed!r}, not a call or None")
            call = changed or call
        return call

    def tell_enqueued(self, jobs: Iterable[Job[Any]]) -> None:
        """Jobs were made."""
        for job in jobs:
            self._tell("after_enqueue", job)

    def around(self, task: BaseTask[..., Any], body: Callable[..., Any]) -> Callable[..., Any]:
        """`body`, with the hooks told of each attempt."""

        def run(*args: Any, **kwargs: Any) -> Any:
            call = Call(task, args, kwargs)
            try:
                self._tell("before_attempt", call)
                result = body(*args, **kwargs)
            except BaseException as error:
                self._tell_end(call, error)
                raise
            self._tell_end(call, None)
            return result

        return run

    def around_async(self, task: BaseTask[..., Any], body: Callable[..., Any]) -> Callable[..., Any]:
        """`around` for what gives a coroutine."""

        async def run(*args: Any, **kwargs: Any) -> Any:
            call = Call(task, args, kwargs)
            try:
                self._tell("before_attempt", call)
                result = await body(*args, **kwargs)
            except BaseException as error:
                self._tell_end(call, error)
                raise
            self._tell_end(call, None)
            return result

        return run

    def _tell_end(self, call: Call[Any], error: BaseException | None) -> None:
        outcome = _outcome(error)
        if outcome in ("errored", "timed_out"):
            self._tell("on_failure", call, error)
        elif outcome == "cancelled":
            self._tell("on_cancel", call, error)
        self._tell("after_attempt", call, outcome)

    def _tell(self, event: str, *what: Any) -> None:
        begins = event == "before_attempt"
        for method in self._methods[event]:
            try:
                method(*what)
            except BaseException as error:
                # What has ended stays as it ended; an attempt that begins is still to be stopped.
                if begins and isinstance(error, (Cancelled, TimedOut, KeyboardInterrupt, *_cancelled_error())):
                    raise
                _log(method, error)


def _listening(hooks: tuple[Hooks, ...], event: str) -> tuple[Callable[..., Any], ...]:
    """The overridden methods for `event`, in the order in which they are told."""
    methods = tuple(getattr(hook, event) for hook in hooks if getattr(type(hook), event) is not getattr(Hooks, event))
    return methods if event.startswith("before") else methods[::-1]


def _check(hook: object) -> None:
    if not isinstance(hook, Hooks):
        raise wrong("hooks", hook, HOOKS)
    for event in _EVENTS:
        if is_async_function(getattr(type(hook), event)):
            raise DeclarationError(
                f"hook {type(hook).__name__}.{event} is a coroutine function, which nobody would wait for",
                hint="write it with `def`; it may start a task of the running loop",
            )
        _check_parameters(hook, event)
    for name in vars(type(hook)):
        if name.startswith(("before_", "after_", "on_")) and name not in _EVENTS:
            raise DeclarationError(
                f"hook {type(hook).__name__}.{name} is told of no event", hint=f"the events: {', '.join(_EVENTS)}"
            )


def _check_parameters(hook: Hooks, event: str) -> None:
    """A method that cannot be called would be heard of in the log of a worker, if at all."""
    import inspect

    method, told = getattr(hook, event), getattr(Hooks, event)
    if getattr(type(hook), event) is told:
        return
    wanted = list(inspect.signature(told).parameters)[1:]
    try:
        inspect.signature(method).bind(*wanted)
    except TypeError as error:
        raise DeclarationError(
            f"hook {type(hook).__name__}.{event} cannot be told of its event: {error}",
            hint=f"write it as `def {event}({', '.join(['self', *wanted])})`",
        ) from None
    except ValueError:  # built in C: it says nothing about its parameters
        return


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "succeeded"
    if isinstance(error, Snooze):
        return "released" if isinstance(error, NotOpened) else "snoozed"
    if isinstance(error, TimedOut):
        return "timed_out"
    if isinstance(error, (Cancelled, *_cancelled_error())):
        return SAID.get(str(error), "cancelled")
    return "cancelled" if isinstance(error, Cancel) else "errored"


def _cancelled_error() -> tuple[type[BaseException], ...]:
    asyncio = sys.modules.get("asyncio")
    return () if asyncio is None else (asyncio.CancelledError,)


def _name(method: Any) -> str:
    return f"{type(method.__self__).__name__}.{method.__name__}"


def _log(method: Callable[..., Any], error: BaseException) -> None:
    import logging

    logging.getLogger("lineshaft").error("hook %s raised; the job goes on", _name(method), exc_info=error)

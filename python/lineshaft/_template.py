"""From checked options to the form in which the wire carries them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import _native
from ._errors import Retry
from ._failure import handlers_of
from ._names import canonical_name
from ._options import TAGS_MAX, Asked, wrong

if TYPE_CHECKING:
    from ._app import App

__all__ = ["described", "template_of"]

BACKOFF_FIRST_S = 1.0
BACKOFF_CAP_S = 600.0
TIMEOUT_S = 3600.0
MAX_CRASHES = 3


def template_of(app: App, task: str, version: int, options: dict[str, Any]) -> _native.Template:
    """The template of jobs of this version of `task` with `options`, which were checked before."""
    on_failure = _handlers(app, task, options)
    while_, period = _unique(options)
    return _native.Template(
        task=task,
        version=version,
        queue=options.get("queue", "default"),
        priority=options.get("priority", 5),
        rules=_rules(options, on_failure),
        run_after=_time(options.get("run_after")),
        expires=_time(options.get("expires")),
        deadline=_time(options.get("deadline")),
        unique_while=while_,
        unique_period_ms=_delay_ms(period),
        anew=options.get("anew", False),
        idempotency_key=options.get("idempotency_key"),
        tags=_tags(options),
        metadata=options.get("metadata"),
    )


def _tags(options: dict[str, Any]) -> tuple[str, ...]:
    """Those that were given, and those for the `profile` of a call; that of a task is a `Share`, and no job's."""
    tags: tuple[str, ...] = options.get("tags", ())
    profile = options.get("profile")
    if not isinstance(profile, Asked):
        return tags
    added = [tag for tag in profile.tags if tag not in tags]
    if len(tags) + len(added) > TAGS_MAX:
        room, more = TAGS_MAX - len(added), "one more" if len(added) == 1 else f"{len(added)} more"
        raise wrong("profile", " ".join(added), f"a job with at most {room} tags of its own: it is {more}")
    return (*tags, *added)


def described(app: App, name: str, version: int, options: dict[str, Any]) -> tuple[_native.OnFailure, bool]:
    """What jobs of a task are made with by those who know it by `name` alone, and whether they have a unique key."""
    on_failure = _handlers(app, name, options)
    # An instant was meant for the program that declares it; who enqueues by name comes at another time.
    lasting = {option: value for option, value in options.items() if not isinstance(value, datetime)}
    return _handler(name, version, lasting, on_failure), options.get("unique") is not None


def _unique(options: dict[str, Any]) -> tuple[str | None, float | None]:
    """How long the key of a call keeps equal ones out: while what, and for how many seconds besides."""
    cache, unique = options.get("cache"), options.get("unique")
    if cache is not None:
        return "cached", cache
    return (None, None) if unique is None else (unique.while_, unique.period)


def _handlers(app: App, task: str, options: dict[str, Any]) -> _native.OnFailure | None:
    on_failure = None
    for handler, version, its_options in reversed(handlers_of(app, task, options.get("on_failure"))):
        on_failure = _handler(handler, version, its_options, on_failure)
    return on_failure


def _handler(
    task: str, version: int, options: dict[str, Any], on_failure: _native.OnFailure | None
) -> _native.OnFailure:
    return _native.OnFailure(
        task=task,
        queue=options.get("queue", "default"),
        priority=options.get("priority", 5),
        expires_ms=_delay_ms(options.get("expires")),
        deadline_ms=_delay_ms(options.get("deadline")),
        tags=options.get("tags", ()),
        rules=_rules(options, on_failure),
        version=version,
    )


def _rules(options: dict[str, Any], on_failure: _native.OnFailure | None) -> _native.Rules:
    retry: Retry = options.get("retries") or Retry(0)
    first = BACKOFF_FIRST_S if retry.first is None else retry.first
    cap = max(first, BACKOFF_CAP_S) if retry.cap is None else retry.cap
    return _native.Rules(
        max_attempts=(retry.max or 0) + 1,
        max_crashes=MAX_CRASHES,
        timeout_ms=_timeout_ms(options.get("timeout", TIMEOUT_S)),
        backoff_first_ms=_milliseconds(min(first, cap)),
        backoff_max_ms=_milliseconds(cap),
        retry_on=[canonical_name(cls) for cls in retry.on],
        retry_never=[canonical_name(cls) for cls in retry.never],
        at_most_once=options.get("delivery") == "at_most_once",
        keep_result=options.get("result", True),
        on_failure=on_failure,
    )


def _timeout_ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, _milliseconds(seconds))


def _delay_ms(seconds: float | None) -> int | None:
    return None if seconds is None else _milliseconds(seconds)


def _time(value: float | datetime | None) -> tuple[str, int] | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return "at", max(0, _milliseconds(value.timestamp()))
    return "in", _milliseconds(value)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

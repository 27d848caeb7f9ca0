"""The options of tasks and calls: which exist, what they take, and what is said when they do not.

Each option is one entry of a table with the function that checks it. Limits:

=================  =====================================================================
name, queue        1 to 255 bytes of letters, digits and `_ . : / @ + # -`; not starting with `-`
tags               at most 16, each 1 to 255 bytes, printable
metadata           text of at most 4,096 bytes
idempotency_key    1 to 255 bytes, printable
priority           1 (first) to 9; high = 2, normal = 5, low = 8
retries            0 to 9,999
version            1 to 2,147,483,647; `from_version` 1 to `version`
durations          0 to 3,650 days; `timeout` and `cache` from 1 ms, `cache` to 24 h, for which results are kept
sizes              1 byte to 2^62 bytes; `memory` from 16 MiB
profile            of tasks a share from 0 to 1, or True; of calls True or False; "memory", "native" or both
=================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypedDict

from . import _native
from ._errors import OptionError, UnknownOption

if TYPE_CHECKING:
    from ._errors import Retry
    from ._job import Job
    from ._task import _TakesOne
    from ._unique import Unique

__all__ = [
    "CALL_OPTIONS",
    "FILE_OPTIONS",
    "GROUP_OPTIONS",
    "NAME_SIGNS",
    "TASK_OPTIONS",
    "Asked",
    "CallOptions",
    "Duration",
    "GroupOptions",
    "Look",
    "Share",
    "Size",
    "TaskOptions",
    "checked",
    "duration",
    "exception_classes",
    "flag",
    "is_name",
    "name",
    "retry_count",
    "size",
    "wrong",
]

Duration = str | float | timedelta
"""`"1h30m"`, a number of seconds or a timedelta."""

Look: TypeAlias = Literal["memory", "native"]
"""What is found out about an attempt beside where its time goes: lines that keep memory, functions of machine code."""

Size = str | int
"""`"512MiB"` or a number of bytes."""


class _SharedOptions(TypedDict, total=False):
    queue: str
    priority: Literal["high", "normal", "low"] | int
    retries: int | Retry
    timeout: Duration | None
    expires: Duration | datetime | None
    deadline: Duration | datetime | None
    unique: Literal["args"] | Unique | None
    cache: Duration | None
    delivery: Literal["at_least_once", "at_most_once"]
    result: bool
    tags: Iterable[str]
    on_failure: _TakesOne[Job[Any], Any] | str | None


class GroupOptions(_SharedOptions, total=False):
    """What `Tasks(...)` takes, for all of its tasks."""

    validate: bool
    memory: Size | None
    profile: bool | float | Look | Iterable[Look]
    expected: type[BaseException] | tuple[type[BaseException], ...]


class TaskOptions(GroupOptions, total=False):
    """What `@app.task(...)` takes."""

    name: str
    aliases: Iterable[str]
    version: int
    from_version: int


class CallOptions(_SharedOptions, total=False):
    """What `task.using(...)` takes."""

    run_after: Duration | datetime | None
    metadata: str | None
    idempotency_key: str | None
    profile: bool | Look | Iterable[Look]


class Share(NamedTuple):
    """Of a task: the part of its attempts that are profiled, from 0 to 1, and how besides plainly."""

    share: float
    looks: tuple[str, ...] = ()


class Asked(NamedTuple):
    """Of a call: what its job has for it."""

    tags: tuple[str, ...]


NAME_BYTES_MAX = 255
NAME_SIGNS = "_.:/@+#-"
"""What names may have beside letters and digits of any script; the server refuses others."""
TAGS_MAX = 16
METADATA_BYTES_MAX = 4096
RETRIES_MAX = 9_999
VERSION_MAX = 2**31 - 1
"""Room for dates, such as 20261126."""
DURATION_MAX_S = 3650 * 86_400.0
RESULT_KEPT_S = 86_400.0
"""How long a result is kept after the end of its job."""
PRIORITIES = {"high": 2, "normal": 5, "low": 8}
LOOKS = ("memory", "native")
LOOK_FORMS = '"memory", "native" or ("memory", "native")'
MEMORY_MIN = 16 << 20
SIZE_MAX = 1 << 62
SIZE_FORMS = '"512MiB", "2GB" or a number of bytes'
DURATION_FORMS = '"30s", "1h30m", a timedelta or a number of seconds'


def wrong(option: str, value: object, accepted: str) -> OptionError:
    """The error for a value that `option` does not take."""
    text = repr(value)
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return OptionError(f"option `{option}`: {shown} is not accepted", hint=f"accepted: {accepted}")


def checked(given: Mapping[str, Any], table: Mapping[str, Callable[[str, Any], Any]], owner: str) -> dict[str, Any]:
    """`given` with every value checked by `table`; `owner` is what the options belong to, for messages."""
    for option in given:
        if option not in table:
            raise _unknown(option, table, owner)
    return {option: table[option](option, value) for option, value in given.items()}


def _unknown(option: str, table: Mapping[str, Any], owner: str) -> UnknownOption:
    import difflib

    near = difflib.get_close_matches(option, table, n=1)
    guess = f": did you mean `{near[0]}`?" if near else ""
    return UnknownOption(f"{owner} has no option `{option}`{guess}", hint=f"its options: {', '.join(table)}")


def duration(option: str, value: object) -> float:
    """Seconds of a duration."""
    if isinstance(value, str):
        seconds = _native.parse_duration(option, value)
    elif isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        # An int may be larger than any float.
        seconds = float(max(-1.0, min(value, DURATION_MAX_S + 1)))
    else:
        raise wrong(option, value, DURATION_FORMS)
    if not 0 <= seconds <= DURATION_MAX_S:
        raise wrong(option, value, f"0 to 3650 days, as {DURATION_FORMS}")
    return seconds


def size(option: str, value: object) -> int:
    """Bytes of a size."""
    if isinstance(value, str):
        value = _native.parse_size(option, value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= SIZE_MAX:
        raise wrong(option, value, SIZE_FORMS)
    return value


def name(option: str, value: object) -> str:
    """The name of a task or queue, or a key."""
    text = _text(option, value, NAME_BYTES_MAX)
    if not is_name(text):
        raise wrong(option, value, f"a name of letters, digits and {' '.join(NAME_SIGNS)}, not starting with `-`")
    return text


def is_name(text: str) -> bool:
    """Whether a task or a queue can be called so."""
    size = len(text.encode(errors="replace"))
    good = all(char.isalnum() or char in NAME_SIGNS for char in text)
    return good and 1 <= size <= NAME_BYTES_MAX and not text.startswith("-")


def key(option: str, value: object) -> str:
    """A tag or an idempotency key."""
    text = _text(option, value, NAME_BYTES_MAX)
    if not text.isprintable():
        raise wrong(option, value, "printable text")
    return text


def retry_count(option: str, value: object) -> int:
    """How often something is tried again."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= RETRIES_MAX:
        raise wrong(option, value, f"a number of retries, 0 to {RETRIES_MAX}, or Retry(max=...)")
    return value


def exception_classes(option: str, value: object) -> tuple[type[BaseException], ...]:
    """Exception classes, one or a tuple of them."""
    classes = value if isinstance(value, tuple) else (value,)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise wrong(option, value, "an exception class or a tuple of them")
    return classes


def _text(option: str, value: object, bytes_max: int, least: int = 1) -> str:
    if not isinstance(value, str):
        raise wrong(option, value, f"text of {least} to {bytes_max} bytes")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise wrong(option, value, "text that UTF-8 can express") from None
    if not least <= size <= bytes_max:
        raise wrong(option, value, f"text of {least} to {bytes_max} bytes of UTF-8, this has {size}")
    return value


def _names(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(option, value, "a list of names")
    return tuple(name(option, item) for item in value)


def _tags(option: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise wrong(option, value, f"a list of at most {TAGS_MAX} texts")
    tags = tuple(dict.fromkeys(key(option, item) for item in value))
    if len(tags) > TAGS_MAX:
        raise wrong(option, value, f"at most {TAGS_MAX} tags, these are {len(tags)}")
    return tags


def _metadata(option: str, value: object) -> str | None:
    return None if value is None else _text(option, value, METADATA_BYTES_MAX, least=0)


def _priority(option: str, value: object) -> int:
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 9:
        return value
    raise wrong(option, value, '1 (first) to 9, "high" (2), "normal" (5) or "low" (8)')


def _retries(option: str, value: object) -> Retry:
    from ._errors import Retry

    if not isinstance(value, Retry):
        return Retry(retry_count(option, value))
    if value.after is not None:
        from ._retrying import check_after

        check_after(option, value)
    if value.max is None:
        raise wrong(option, value, "Retry(max=...): how often to try again has no default")
    return value


def _retries_of_call(option: str, value: object) -> Retry:
    from ._errors import Retry

    if isinstance(value, Retry) and value.after is not None:
        raise wrong(option, value, "Retry without `after`, which belongs to the task: `@app.task(retries=...)`")
    return _retries(option, value)


def _timeout(option: str, value: object) -> float | None:
    if value is None:
        return None
    seconds = duration(option, value)
    if seconds < 0.001:
        raise wrong(option, value, f"at least 1 ms, as {DURATION_FORMS}; None for no timeout")
    return seconds


def _memory(option: str, value: object) -> int | None:
    if value is None:
        return None
    of_bytes = size(option, value)
    if of_bytes < MEMORY_MIN:
        raise wrong(option, value, f"at least 16 MiB, as {SIZE_FORMS}; None for no limit")
    return of_bytes


def _delivery(option: str, value: object) -> str:
    if value not in ("at_least_once", "at_most_once"):
        raise wrong(option, value, '"at_least_once" (default) or "at_most_once"')
    return str(value)


def version_number(option: str, value: object) -> int:
    """A version of a task."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= VERSION_MAX:
        raise wrong(option, value, "a whole number from 1 (default) up")
    return value


def attempt_number(value: object) -> int | None:
    """The number of an attempt, or None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**32):
        raise wrong("attempt", value, "a whole number from 1, or None")
    return value


def flag(option: str, value: object) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise wrong(option, value, "True or False")
    return value


def _share(option: str, value: object) -> Share:
    accepted = "the share of attempts, from 0 (default) to 1, or for each True, "
    if not isinstance(value, bool | int | float):
        return Share(1.0, _looks(option, value, accepted))
    if not 0 <= value <= 1:
        raise wrong(option, value, accepted + LOOK_FORMS)
    return Share(float(value))


def _asked(option: str, value: object) -> Asked:
    if isinstance(value, bool):
        return Asked((_native.PROFILE_TAG,) if value else ())
    tags = {"memory": _native.PROFILE_MEMORY_TAG, "native": _native.PROFILE_NATIVE_TAG}
    return Asked(tuple(tags[look] for look in _looks(option, value, "True, False, ")))


def _looks(option: str, value: object, others: str) -> tuple[str, ...]:
    """Words, one or some; `others` is what else is accepted."""
    looks = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if not looks or any(look not in LOOKS for look in looks):
        raise wrong(option, value, others + LOOK_FORMS)
    return tuple(dict.fromkeys(looks))


def _unique(option: str, value: object) -> Any:
    from ._unique import Unique

    if value is None or isinstance(value, Unique):
        return value
    if value == "args":
        return Unique()
    raise wrong(option, value, '"args", Unique(by=..., while_=..., period=...) or None')


def _cache(option: str, value: object) -> float | None:
    if value is None:
        return None
    seconds = duration(option, value)
    if not 0.001 <= seconds <= RESULT_KEPT_S:
        raise wrong(option, value, f"1 ms to 24 h, for which results are kept, as {DURATION_FORMS}; None for no cache")
    return seconds


def _instant(option: str, value: object) -> float | datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        return duration(option, value)
    if value.tzinfo is None or value.utcoffset() is None:
        raise wrong(option, value, "a datetime with a time zone: datetime.now(timezone.utc) or .astimezone()")
    return value


def _on_failure(option: str, value: object) -> Any:
    from ._failure import handler

    return handler(option, value)


def _optional_key(option: str, value: object) -> str | None:
    return None if value is None else key(option, value)


_SHARED: dict[str, Callable[[str, Any], Any]] = {
    "queue": name,
    "priority": _priority,
    "retries": _retries,
    "timeout": _timeout,
    "expires": _instant,
    "deadline": _instant,
    "unique": _unique,
    "cache": _cache,
    "delivery": _delivery,
    "result": flag,
    "tags": _tags,
    "on_failure": _on_failure,
}

GROUP_OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    **_SHARED,
    "memory": _memory,
    "profile": _share,
    "validate": flag,
    "expected": exception_classes,
}
"""What `Tasks(...)` takes, for all of its tasks."""

TASK_OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "name": name,
    "aliases": _names,
    "version": version_number,
    "from_version": version_number,
    **GROUP_OPTIONS,
}
"""What `@app.task(...)` takes."""

FILE_OPTIONS: dict[str, Callable[[str, Any], Any]] = {**_SHARED, "memory": _memory, "profile": _share}
"""What a configuration file may say about a task: nothing about its names, and nothing about one call."""

CALL_OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "run_after": _instant,
    "metadata": _metadata,
    "idempotency_key": _optional_key,
    "profile": _asked,
    **_SHARED,
    "retries": _retries_of_call,
}
"""What `task.using(...)` takes."""

"""The kinds of handlers, and what each of them takes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._errors import OptionError
from .._options import checked, duration, flag, size, wrong

_COUNT_MAX = 2**31 - 1
FACILITIES = {
    **{name: number for number, name in enumerate(("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"))},
    **{name: number for number, name in enumerate(("uucp", "cron", "authpriv", "ftp"), 8)},
    **{f"local{number}": 16 + number for number in range(8)},
}
"""What parts of a system log, as its daemon knows them."""

Check = Callable[[str, Any], Any]


def _level(option: str, value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise wrong(option, value, "the name of a level or a number")
    return value


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(option, value, "a text")
    return value


def _path(option: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise wrong(option, value, "the path of a file")
    # A process that changes its directory, or a fork of it, writes the same file.
    path = os.path.abspath(os.fsdecode(value))
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise wrong(option, value, "the path of a file") from None
    return path


def _count(option: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _COUNT_MAX:
        raise wrong(option, value, f"a number, 1 to {_COUNT_MAX:,}")
    return value


def _keep(option: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10_000:
        raise wrong(option, value, "a number of files, 0 to 10,000")
    return value


def _mode(option: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise wrong(option, value, "permissions such as 0o640")
    return value


def _format(option: str, value: Any) -> str | Callable[..., Any]:
    if callable(value):
        return value  # type: ignore[no-any-return]
    if not isinstance(value, str) or (value not in ("text", "json") and "{" not in value):
        accepted = '"text", "json", a template such as "{time} {level} {logger} {message}", or a callable'
        raise wrong(option, value, f"{accepted} that takes a LogRecord and gives a str")
    return value


def _perhaps(check: Check) -> Check:
    return lambda option, value: None if value is None else check(option, value)


def _compress(option: str, value: Any) -> bool:
    if value not in (None, "gzip"):
        raise wrong(option, value, '"gzip" or None')
    return value is not None


def _period(option: str, value: Any) -> float:
    seconds = duration(option, value)
    if seconds < 1:
        raise wrong(option, value, "a duration of a second or longer")
    return seconds


def _address(option: str, value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2:
        value = f"{value[0]}:{value[1]}"
    if not isinstance(value, str) or not (value.startswith("/") or value.rpartition(":")[2].isdigit()):
        raise wrong(
            option, value, 'the path of a socket, as "/dev/log", or a host and a port, as "logs.example.org:514"'
        )
    return value


def _facility(option: str, value: Any) -> int:
    number = FACILITIES.get(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 23:
        raise wrong(option, value, f"one of {', '.join(FACILITIES)}, or a number up to 23")
    return number


def _program(option: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 48 or not all("!" <= sign <= "~" for sign in value):
        raise wrong(option, value, "1 to 48 signs of ASCII without spaces")
    return value


def _http_format(option: str, value: Any) -> str | Callable[..., Any]:
    return value if isinstance(value, str) and value in ("json_array", "otlp") else _format(option, value)


def _url(option: str, value: Any) -> str:
    # What is wrong with it otherwise is found where it is read. It is not shown: passwords and keys may be in it.
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise OptionError(
            f"option `{option}` is not accepted", hint='accepted: a URL such as "https://logs.example.org/in"'
        )
    return value


def _place_of(url: str) -> str:
    """Scheme, host and port: all else may have a secret in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split(r'[/?#]', rest)[0].rpartition('@')[2]}"


def _headers(option: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
        raise OptionError(f"option `{option}` is not accepted", hint='accepted: names and texts, {"X-Tenant": "acme"}')
    return [(name, _of_environment(option, name, text)) for name, text in value.items()]


def _of_environment(option: str, name: str, text: str) -> str:
    """A text with `${NAME}` filled in, so that secrets need not stand where others read them."""

    def found(match: re.Match[str]) -> str:
        if (value := os.environ.get(match[1])) is None:
            raise OptionError(
                f"option `{option}`: {name} needs the environment variable {match[1]}, which is not set",
                hint=f"set {match[1]}",
            )
        return value

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", found, text)


def _pause(option: str, value: Any) -> float:
    seconds = duration(option, value)
    if not 0 < seconds <= 3600:
        raise wrong(option, value, "a duration, up to an hour")
    return seconds


def _age(option: str, value: Any) -> float:
    seconds = duration(option, value)
    if seconds > 3600:
        raise wrong(option, value, "a duration, up to an hour")
    return seconds


def _this_program() -> str:
    shown = "".join(sign for sign in os.path.basename(sys.argv[0] if sys.argv else "") if "!" <= sign <= "~")
    return shown[:48] or "python"


def _shown(text: str) -> str:
    """What can be shown: paths and the environment may have bytes that are no text."""
    return text.encode("utf-8", "replace").decode()


def _callable(option: str, value: Any) -> Callable[..., Any]:
    if not callable(value):
        raise wrong(option, value, "a callable that takes a LogRecord")
    return value  # type: ignore[no-any-return]


_COMMON: dict[str, Check] = {"kind": _text, "name": _text, "level": _level, "filter": _perhaps(_text)}
_WRITTEN: dict[str, Check] = {"format": _format, "utc": _perhaps(flag)}
_KINDS: dict[str, dict[str, Check]] = {
    "console": {**_COMMON, **_WRITTEN, "colours": _perhaps(flag)},
    "file": {
        **_COMMON,
        **_WRITTEN,
        "path": _path,
        "mode": _mode,
        "rotate_size": _perhaps(size),
        "rotate_every": _perhaps(_period),
        "keep": _keep,
        "compress": _compress,
    },
    "memory": {**_COMMON, "records": _count, "bytes": size},
    "syslog": {**_COMMON, "address": _address, "facility": _facility, "program": _program, "format": _format},
    "journald": {**_COMMON, "address": _path, "program": _program},
    "http": {
        **_COMMON,
        **_WRITTEN,
        "format": _http_format,
        "url": _url,
        "headers": _headers,
        "batch_records": _count,
        "batch_size": size,
        "batch_age": _age,
        "compress": _compress,
        "timeout": _pause,
        "ca": _perhaps(_path),
        "service": _text,
    },
    "callable": {**_COMMON, "call": _callable},
    "stdlib": _COMMON,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "console": {"format": "text", "utc": None, "colours": None},
    "file": {
        "format": "text",
        "utc": None,
        "mode": 0o640,
        "rotate_size": None,
        "rotate_every": None,
        "keep": 7,
        "compress": False,
    },
    "memory": {"records": 1_000, "bytes": 4 << 20},
    "syslog": {"address": "/dev/log", "facility": 1, "format": "{logger}: {message} {fields}"},
    "journald": {"address": "/run/systemd/journal/socket"},
    "http": {
        "format": "json",
        "utc": None,
        "headers": (),
        "batch_records": 1_000,
        "batch_size": 1 << 20,
        "batch_age": 1.0,
        "compress": False,
        "timeout": 10.0,
        "ca": None,
    },
    "callable": {},
    "stdlib": {},
}
_NEEDED = {"file": "path", "http": "url", "callable": "call"}
_NATIVE = {
    "rotate_size": "rotate_bytes",
    "rotate_every": "rotate_seconds",
    "compress": "is_compressed",
    "records": "records_max",
    "bytes": "bytes_max",
    "batch_size": "batch_bytes",
    "batch_age": "batch_age_seconds",
    "timeout": "timeout_seconds",
    "ca": "authorities",
}
"""What some options are called in Rust, where their units are in the name."""


def handlers(given: Iterable[Any]) -> list[dict[str, Any]]:
    """Handlers as Rust reads them, each with a name of its own.

    Of handlers that were not named, those of one server or function are numbered. Two of one file, or two consoles, are
    a mistake.
    """
    made = [_handler(each) for each in given]
    names = {each["name"] for each, is_numbered in made if not is_numbered}
    for each, is_numbered in made:
        usual, number = each["name"], 1
        while is_numbered and each["name"] in names:
            number += 1
            each["name"] = f"{usual} ({number})"
        names.add(each["name"])
    return [each for each, _ in made]


def check_files(made: Iterable[Mapping[str, Any]]) -> None:
    """Refuses handlers of one file that would not rotate it alike: each would rotate what the other writes."""
    first: dict[str, Mapping[str, Any]] = {}
    for each in made:
        if each["kind"] != "file":
            continue
        other = first.setdefault(os.path.realpath(each["path"]), each)
        known, rotation = _rotation(other), _rotation(each)
        if option := next((one for one in rotation if known[one] != rotation[one]), None):
            both = f"{other['name']!r} and {each['name']!r}"
            raise OptionError(
                f"the log handlers {both} write {each['path']}, and differ in `{option}`",
                hint="say the same for both, or give each a file of its own",
            )


def _rotation(handler: Mapping[str, Any]) -> dict[str, Any]:
    """What of the options says how the file is rotated; without a rotation the others say nothing."""
    options = ("rotate_size", "rotate_every", "keep", "compress")
    found = {option: handler[_NATIVE.get(option, option)] for option in options}
    return found if found["rotate_size"] or found["rotate_every"] else dict.fromkeys(options)


def _handler(given: Any) -> tuple[dict[str, Any], bool]:
    """A handler as Rust reads it, and whether its name may get a number."""
    if callable(given):
        given = {"kind": "callable", "call": given}
    if not isinstance(given, Mapping):
        raise wrong("handlers", given, 'mappings such as {"kind": "file", "path": "app.log"}, or callables')
    kind = given.get("kind")
    if kind not in _KINDS:
        raise wrong("kind", kind, ", ".join(f'"{each}"' for each in _KINDS))
    options = checked(given, _KINDS[kind], f'a handler of kind "{kind}"')
    needed = _NEEDED.get(kind)
    if needed is not None and needed not in options:
        raise wrong(needed, None, f'what a handler of kind "{kind}" needs')
    options = {"level": -(2**31), "filter": None, **_DEFAULTS[kind], **options}
    if "program" in _KINDS[kind]:
        options.setdefault("program", _this_program())
    place = options.get("path")
    if kind == "http":
        place = _place_of(options["url"])
        options.setdefault("service", _shown(os.environ.get("OTEL_SERVICE_NAME") or _this_program()))
    options.setdefault("name", _shown(str(place or getattr(options.get("call"), "__qualname__", kind))))
    if kind == "stdlib":
        from ._bridge import to_standard_library

        options.update(kind="callable", call=to_standard_library)
    is_numbered = kind in ("http", "callable") and "name" not in given
    return {_NATIVE.get(option, option): value for option, value in options.items()}, is_numbered

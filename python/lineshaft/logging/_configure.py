"""What is heard, and where it goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from .. import _native
from .._decorators._rates import rate_of
from .._errors import OptionError
from .._options import Size, checked, flag, size, wrong
from . import _bridge
from ._handlers import check_files
from ._handlers import handlers as _handlers

_WHEN_FULL = ("block", "drop_new", "drop_debug_first")
_PATIENCE = 2.0
"""So long a new configuration waits for what the one before has to write."""

_file: Path | None = None
"""What `reload` reads."""


def configure(
    *,
    level: str | int = "info",
    handlers: Iterable[Mapping[str, Any] | Callable[[_native.LogRecord], Any]] | None = None,
    filters: Iterable[Callable[[_native.LogRecord], Any]] = (),
    limit: str | None = None,
    levels: Mapping[str, int] | None = None,
    redact: bool = True,
    redact_keys: Iterable[str] = (),
    redact_patterns: Iterable[str] = (),
    redact_types: Iterable[type] = (),
    capture_stdlib: bool | None = None,
    show_locals: bool = False,
    flush_on_signal: bool = False,
    when_full: Literal["block", "drop_new", "drop_debug_first"] = "block",
    buffer_records: int = 65_536,
    buffer_size: Size = "32MiB",
    record_size: Size = "256KiB",
) -> None:
    """Says what is heard and where it goes, in place of what was said before, at once for every logger.

    - `level`: the least level, or directives such as `"warning,shop.mail=debug,[tenant=acme]=trace"`.
    - `handlers`: mappings with a `kind` and its options, or callables; a console by default.
    - `filters`: callables that are given each record, in the thread that logs it, and say whether it is wanted.
    - `limit`: how often one place of the source may log, as `"100/s"`; what is too much is counted.
    - `levels`: names of numbers, as `{"notice": 25}`.
    - `redact`: whether secrets are hidden, by the names of fields and by what they look like. `redact_keys` are regular
      expressions for further names of fields, `redact_patterns` for what is hidden wherever it stands, `redact_types`
      classes whose instances are hidden.
    - `capture_stdlib`: whether loggers of the standard library log here too; None leaves it as it is.
    - `show_locals`: whether exceptions are logged with the variables of their frames, 512 bytes of each.
    - `flush_on_signal`: whether SIGTERM and SIGHUP, where they end the process at once, and a crash (SIGSEGV, SIGBUS,
      SIGILL, SIGFPE, SIGABRT) wait up to a second until what was logged is written.
    - `when_full`: what becomes of a record when the ring is full: who logs waits (`"block"`), it is dropped, or what is
      debug or less is dropped first. The ring has room for `buffer_records` and `buffer_size`.
    - `record_size`: how much of a record is kept; of longer ones it is said what was cut.

    What does not read, or a file that cannot be opened, raises, and what was in force stays.
    """
    given = [{"kind": "console"}] if handlers is None else _items("handlers", handlers, "mappings and callables")
    made = _handlers(given)
    names = [each["name"] for each in made]
    for each in made:
        if names.count(each["name"]) > 1:
            raise OptionError(
                f"two log handlers are called {each['name']!r}",
                hint="give them names: {'name': ...}, for what is said of them",
            )
    check_files(made)
    classes = tuple(_items("redact_types", redact_types, "classes"))
    if not all(isinstance(each, type) for each in classes):
        raise wrong("redact_types", redact_types, "classes")
    if when_full not in _WHEN_FULL:
        raise wrong("when_full", when_full, ", ".join(f'"{each}"' for each in _WHEN_FULL))
    if not isinstance(level, str | int) or isinstance(level, bool):
        raise wrong("level", level, "the name of a level, a number or directives")
    if isinstance(buffer_records, bool) or not isinstance(buffer_records, int) or not 1 <= buffer_records <= 10**8:
        raise wrong("buffer_records", buffer_records, "a number of records, 1 to 100,000,000")
    _native.log_configure(
        {
            "filter": str(level),
            "handlers": made,
            "filters": [_kept(each) for each in _items("filters", filters, "callables that take a LogRecord")],
            "limit": None if limit is None else _limit(limit),
            "levels": _levels(levels or {}),
            "redact": flag("redact", redact),
            "redact_keys": _texts("redact_keys", redact_keys),
            "redact_patterns": _texts("redact_patterns", redact_patterns),
            "redacted": classes or None,
            "locals": flag("show_locals", show_locals),
            "signals": _signals() if flag("flush_on_signal", flush_on_signal) else [],
            "when_full": when_full,
            "records_max": buffer_records,
            "bytes_max": size("buffer_size", buffer_size),
            "record_bytes_max": size("record_size", record_size),
        },
        _PATIENCE,
    )
    if capture_stdlib:
        _bridge.capture()
    elif capture_stdlib is False and _bridge._capture is not None:
        _bridge._capture.release()
    _bridge.refresh()


def configure_from(path: str | os.PathLike[str]) -> None:
    """Configures as a TOML file says: the options of `configure`, at its top or under `[tool.lineshaft.logging]`.

    A handler of kind `"callable"` names what it calls as `"module:name"`, and so do `filters`, `redact_types` and a
    `format` that is a callable.
    """
    global _file
    toml = _toml()
    found = Path(path).resolve()
    try:
        read = toml.loads(found.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OptionError(f"{found}: {error}", hint="a file in TOML, https://toml.io") from error
    options = _table_of_logging(read)
    names: dict[str, Callable[[str, Any], Any]] = dict.fromkeys(configure.__kwdefaults__ or (), _as_it_is)
    checked(options, names, f"the configuration of logging in {found}")
    handlers = [
        {option: _named(option, value) if _is_name(option, value) else value for option, value in each.items()}
        if isinstance(each, dict)
        else each
        for each in _items("handlers", options.get("handlers", [{"kind": "console"}]), "a list of tables")
    ]
    named: dict[str, Any] = {
        name: [_named(name, each) for each in _items(name, options[name], 'a list of "module:name"')]
        for name in ("filters", "redact_types")
        if name in options
    }
    configure(**{**options, **named, "handlers": handlers})
    _file = found


def reload() -> None:
    """Reads again the file that `configure_from` read last. What was in force stays if it does not read."""
    if _file is None:
        raise OptionError("there is no file to read again", hint="lineshaft.logging.configure_from(path) reads one")
    configure_from(_file)


def _table_of_logging(read: dict[str, Any]) -> dict[str, Any]:
    """What is under `[tool.lineshaft.logging]`, if there is such a table; else all."""
    table: Any = read
    for name in ("tool", "lineshaft", "logging"):
        if not isinstance(table, dict):
            raise wrong(name, table, "a table, [tool.lineshaft.logging]")
        if name not in table:
            return read
        table = table[name]
    if not isinstance(table, dict):
        raise wrong("logging", table, "a table, [tool.lineshaft.logging]")
    return table


def _toml() -> Any:
    from importlib import import_module

    for name in ("tomllib", "tomli"):
        try:
            return import_module(name)
        except ImportError:  # before Python 3.11 it is a package of its own
            pass
    raise OptionError("there is nothing that reads TOML", hint="pip install tomli, or use Python 3.11 or newer")


def _as_it_is(_: str, value: Any) -> Any:
    return value


def _is_name(option: str, value: Any) -> bool:
    """Whether an option of a handler says what is called; a template has braces where it has a colon."""
    is_function = option == "format" and isinstance(value, str) and ":" in value and "{" not in value
    return option == "call" or is_function


def _named(option: str, name: Any) -> Any:
    """What a text names, `"module:name"`."""
    module, _, rest = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not rest:
        raise wrong(option, name, '"module:name"')
    from importlib import import_module

    try:
        found: Any = import_module(module)
        for part in rest.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise wrong(option, name, f'"module:name" of something that is there ({error})') from error
    return found


def _kept(keep: Any) -> Any:
    if not callable(keep):
        raise wrong("filters", keep, "callables that take a LogRecord")
    return keep


def _items(option: str, values: Any, accepted: str) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise wrong(option, values, accepted)
    return list(values)


def _levels(levels: Any) -> list[tuple[str, int]]:
    if not isinstance(levels, Mapping):
        raise wrong("levels", levels, 'numbers by name, {"notice": 25}')
    for name, number in levels.items():
        is_number = isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**31
        if not isinstance(name, str) or not is_number:
            raise wrong("levels", levels, 'numbers by name, {"notice": 25}')
    return list(levels.items())


def _signals() -> list[int]:
    """Those that end the process at once. One that the program does something about in Python is for that."""
    import signal

    ends = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    # None is an action that is not Python's, such as that of `faulthandler`, which comes after ours.
    crashes = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
    free = [each for each in crashes if signal.getsignal(each) in (signal.SIG_DFL, None)]
    return [int(each) for each in (*ends, *free)]


def _texts(option: str, values: Iterable[str]) -> list[str]:
    texts = [values] if isinstance(values, str) else _items(option, values, "regular expressions")
    if not all(isinstance(each, str) for each in texts):
        raise wrong(option, values, "regular expressions")
    return texts


def _limit(limit: str) -> tuple[int, float, int]:
    count, seconds = rate_of("limit", limit)
    return count, seconds, count

"""Loggers."""

from __future__ import annotations

from typing import Any

from .. import _native

_LOGGERS: dict[str, Logger] = {}


class Logger(_native.Logger):
    """Logs under a name, whose parts have dots between them: `shop.mail` is below `shop`.

    `trace`, `debug`, `info`, `warning`, `error`, `critical` and `exception` take a message and, as keywords, fields;
    `log` takes the level before them. Further positional arguments are put into the message as `%` does it. Of the
    keywords, `exc_info`, `stacklevel` and `extra` mean what they mean to the standard library. `enabled(level)` says
    whether a record of that level might be heard.
    """

    __slots__ = ()

    def bind(self, /, **fields: Any) -> Logger:
        """A logger of the same name that adds these fields to each record, beside those of this one."""
        return Logger(self.name, {**self.fields, **fields})

    def __repr__(self) -> str:
        bound = "".join(f" {key}={value!r}" for key, value in self.fields.items())
        return f"<Logger {self.name or 'root'}{bound}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Logger, (self.name, self.fields)


def get_logger(name: str = "", /, **fields: Any) -> Logger:
    """The logger of a name, as `lineshaft.get_logger(__name__)`; with fields, one that adds them to each record."""
    logger = _LOGGERS.get(name)
    if logger is None:
        logger = _LOGGERS.setdefault(name, Logger(name))
    return logger.bind(**fields) if fields else logger

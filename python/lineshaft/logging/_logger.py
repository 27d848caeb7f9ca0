"""Loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from .. import _native
from .._options import wrong

if TYPE_CHECKING:
    from .._decorators._decorator import Decorated
    from ._catching import Catching, Swallowing

_LOGGERS: dict[str, Logger] = {}


class Logger(_native.Logger):
    """Logs under a name, whose parts have dots between them: `shop.mail` is below `shop`.

    `trace`, `debug`, `info`, `warning`, `error`, `critical` and `exception` take a message and, as keywords, fields;
    `log` takes the level before them. Further positional arguments are put into the message as `%` does it. Of the
    keywords, `exc_info`, `stack_info`, `stacklevel` and `extra` mean what they mean to the standard library.
    `enabled(level)` says whether a record of that level might be heard; `is_enabled_for` and `isEnabledFor` are the
    same, as `warn` and `getChild` are, for code that was written for other loggers.
    """

    __slots__ = ()

    def bind(self, /, **fields: Any) -> Logger:
        """A logger of the same name that adds these fields to each record, beside those of this one."""
        return Logger(self.name, {**self.fields, **fields})

    def child(self, name: str, /) -> Logger:
        """The logger below this one that has `name` behind its own, `shop.mail` for "mail", with the same fields."""
        if not isinstance(name, str) or not name:
            raise wrong("name", name, 'what comes behind the name of the logger, such as "mail"')
        name = f"{self.name}.{name}" if self.name else name
        fields = self.fields
        return Logger(name, fields) if fields else get_logger(name)

    @overload
    def catch(  # type: ignore[overload-overlap]
        self,
        *exceptions: type[BaseException],
        level: int | str = "error",
        message: str | None = None,
        reraise: Literal[True] = True,
    ) -> Catching: ...
    @overload
    def catch(
        self,
        *exceptions: type[BaseException],
        level: int | str = "error",
        message: str | None = None,
        reraise: bool,
    ) -> Swallowing: ...
    @overload
    def catch(self, function: Decorated, /) -> Decorated: ...
    def catch(
        self, *exceptions: Any, level: int | str = "error", message: str | None = None, reraise: bool = True
    ) -> Any:
        """Logs what a block or a function raises, with its traceback, and lets it go on.

        ::

            with log.catch(message="no mail was sent"):
                send()

            @log.catch(OSError, level="warning", reraise=False)
            async def refresh() -> None: ...

        Above a function, `@log.catch` will do without options; it may be a coroutine function, a generator or a method.

        - `exceptions`: classes of those that are meant; every `Exception` by default, but for `Retry`, `Snooze` and
          `Cancel`, by which a task says what is to become of its job.
        - `level`: a number, or a name that is known already.
        - `message`: of the record; by default it says who raised what.
        - `reraise`: with False the exception ends there. The block is over then, and the function gives None.
        """
        from ._catching import catching

        return catching(self, exceptions, level, message, reraise)

    is_enabled_for = isEnabledFor = _native.Logger.enabled  # noqa: N815
    getChild = child  # noqa: N815

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

"""How often something may happen, counted for all programs of a home."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from .._errors import RateLimited
from .._guard import refuse_import_side_effect
from .._options import duration, wrong
from ._lock import key_of

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    from typing_extensions import Self

    from .. import _native
    from .._app import App

FILL_S_MAX = 366 * 86_400.0


class Limiter:
    """Lets programs of a home pass no more often than a rate: `app.limiter(key, "100/m")`, for `with`, `async with`."""

    def __init__(
        self, app: App, key: str, rate: str, burst: int | None = None, wait: bool | str | float | timedelta = True
    ) -> None:
        from .._decorators._rates import rate_of

        count, period_s = rate_of("rate", rate)
        if burst is not None and (not isinstance(burst, int) or isinstance(burst, bool) or not 1 <= burst < 2**31):
            raise wrong("burst", burst, "a number of turns from 1 up")
        self._app = app
        self.key = key_of(key)
        """The name of the limiter: the same one everywhere in the home."""
        self.rate = rate
        """How often it lets pass."""
        self._interval_s = period_s / count
        self._burst = burst or count
        if self._interval_s * self._burst > FILL_S_MAX or self._interval_s < 1e-9:
            raise wrong("rate", rate, "a rate whose turns at once come again within a year, and up to 1e9 in a second")
        self._longest_s = math.inf if wait is True else 0.0 if wait is False else duration("wait", wait)

    def __repr__(self) -> str:
        return f"<limiter {self.key!r} of {self.rate}>"

    def acquire(self) -> None:
        """Takes the next turn, and waits for it.

        Raises `RateLimited`, without a turn, if that would take longer than `wait`.
        """
        reply = self._ask(self._app._connection.client())
        time.sleep(self._wait_s(reply.wait()))

    async def aacquire(self) -> None:
        """`acquire` for coroutines."""
        import asyncio

        from .._loop import ready

        reply = self._ask(await self._app._connection.aclient())
        await ready(reply)
        await asyncio.sleep(self._wait_s(reply.wait()))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """A turn is not given back."""

    async def __aenter__(self) -> Self:
        await self.aacquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """A turn is not given back."""

    def _ask(self, client: _native.Client) -> _native.Reply[tuple[float, bool]]:
        refuse_import_side_effect("app.limiter()")
        return client.take_turn(self.key, self._interval_s, self._burst, self._longest_s)

    def _wait_s(self, answer: tuple[float, bool]) -> float:
        seconds, is_taken = answer
        if is_taken:
            return seconds
        from .._decorators._wording import time_of

        raise RateLimited(
            f"limiter {self.key!r} is passed more often than {self.rate}: free in {time_of(seconds)}",
            retry_after=seconds,
        )

"""The connection of an app, made at its first use. The extension makes it anew in a forked child."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import _native
from ._errors import JobNotFound, OutcomeUnknown, ServerError

if TYPE_CHECKING:
    from .testing._engine import Engine

__all__ = ["Connection"]

T = TypeVar("T")
U = TypeVar("U")

OF_THIS_TEST = (
    "the private engine of this test: jobs of other tests, and of fixtures that outlive one, are not in it "
    "(such a fixture needs a home of its own: `with app.override(home=tmp_path_factory.mktemp('jobs')):`)"
)

stand_in: Callable[[Connection, str, bool], str] | None = None
"""What gives a home in place of the one found; told whether that is the default. `lineshaft.testing` sets it."""

_SERVE = "import sys; sys.path.insert(0, {root!r}); from lineshaft._cli import main; sys.exit(main())"


class Connection:
    """The client of an app's home, and how to ask it: `ask` blocks, `aask` is for coroutines."""

    def __init__(self, explicit: str | None, creator: str | None) -> None:
        self._explicit = explicit
        self._creator = creator
        self._home: str | None = None
        self._client: _native.Client | None = None
        self._process = 0
        self.engine: Engine | None = None
        """The private engine of a test that stands in for the home."""
        self._lock = allocate_lock()

    @property
    def home(self) -> str:
        """The absolute path of the home; the same from its first use on."""
        if self._home is None:
            self._home = self._resolve()
        return self._home

    @property
    def is_open(self) -> bool:
        """Whether this process has talked to the server."""
        return self._client is not None

    def client(self) -> _native.Client:
        """The client; connects, and starts a server on demand, if this process has none yet."""
        client = self._client
        return client if client is not None else self._connect()

    async def aclient(self) -> _native.Client:
        """`client` for coroutines: connecting does not hold the event loop up."""
        client = self._client
        if client is not None:
            return client
        import asyncio

        return await asyncio.to_thread(self._connect)

    def ask(self, request: Callable[[_native.Client], _native.Reply[T]], then: Callable[[T], U]) -> U:
        """Sends a request, waits for the answer and passes it to `then`."""
        try:
            return settle(request(self.client()), then)
        except JobNotFound as error:
            self._name_home(error)
            raise

    async def aask(self, request: Callable[[_native.Client], _native.Reply[T]], then: Callable[[T], U]) -> U:
        """`ask` for coroutines."""
        try:
            return await asettle(request(await self.aclient()), then)
        except JobNotFound as error:
            self._name_home(error)
            raise

    def _name_home(self, error: JobNotFound) -> None:
        """The server says `here`, which may be another home than the reader of the error has in mind."""
        error.hint = f"{error.hint}; here is {self.where}"

    @property
    def where(self) -> str:
        """The home as an error names it."""
        return self.home if self.engine is None else f"{self.home}, {OF_THIS_TEST}"

    def _resolve(self) -> str:
        try:
            home, is_default = _native.resolve_home(self._explicit, self._creator)
        except UnicodeEncodeError:
            place = os.fsencode(self._explicit or self._creator or "").decode(errors="backslashreplace")
            raise ServerError(
                f"the home cannot be found from {place}: UTF-8 does not express this path",
                hint="set LINESHAFT_URL to a directory with another name",
            ) from None
        return home if stand_in is None else stand_in(self, home, is_default)

    def forget(self) -> None:
        """Closes the connection, and finds the home anew at the next use."""
        self._client = self._home = self.engine = None

    def _connect(self) -> _native.Client:
        process = os.getpid()
        if self._process != process:
            # In a forked child the lock may be held by a thread that does not exist here.
            self._lock, self._process = allocate_lock(), process
        with self._lock:
            if self._client is None:
                self._client, warning = _native.connect(self.home, server_command())
                if warning is not None and self.engine is None:
                    import logging

                    logging.getLogger("lineshaft").warning(warning)
            return self._client


def server_command() -> list[str]:
    """What is executed before `serve --on-demand --home H`: this interpreter, without the user's environment."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [sys.executable, "-I", "-S", "-c", _SERVE.format(root=root)]


def settle(reply: _native.Reply[T], then: Callable[[T], U]) -> U:
    """Waits for `reply`; an `OutcomeUnknown` learns to `resend` it."""
    try:
        return then(reply.wait())
    except OutcomeUnknown as error:
        teach_resend(error, then)
        raise


async def asettle(reply: _native.Reply[T], then: Callable[[T], U]) -> U:
    """`settle` for coroutines."""
    from ._loop import ready

    await ready(reply)
    return settle(reply, then)


def teach_resend(error: OutcomeUnknown, then: Callable[[Any], Any]) -> None:
    """Lets `error` ask again, and pass the answer to `then`."""
    token = error._token
    if token is not None:
        error._resend = lambda: settle(token.resend(), then)

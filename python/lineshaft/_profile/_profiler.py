"""Measuring: around a block, or around the calls of a function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from .._decorators._decorator import shown_call
from .._decorators._driving import Body
from .._decorators._invocation import Invocation
from .._decorators._wrapping import Layer, around
from .._errors import DeclarationError
from .._options import flag, wrong
from ._calls import Calls
from ._profile import Profile
from ._run import Options, Run

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
S = TypeVar("S")

if TYPE_CHECKING:
    from typing import Protocol

    class Profiled(Protocol[P, R]):
        """A function whose calls are profiled."""

        __wrapped__: Callable[..., Any]

        @property
        def profile(self) -> Profile: ...
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Profiled[P, R]: ...
        @overload
        def __get__(self: Profiled[Concatenate[S, Q], R], instance: S, owner: type) -> Profiled[Q, R]: ...


HZ_MAX = 1_000


@overload
def profile(function: Callable[P, R], /) -> Profiled[P, R]: ...
@overload
def profile(
    *, hz: float = 100, threads: Literal["current", "all"] = "current", memory: bool = False, native: bool = False
) -> Profiler: ...
def profile(
    function: Any = None,
    /,
    *,
    hz: Any = 100,
    threads: Any = "current",
    memory: Any = False,
    native: Any = False,
) -> Any:
    """Finds out where time goes, in a block or in the calls of a function.

    ::

        with lineshaft.profile() as found:
            work()
        print(found)              # the hottest functions and lines, and advice
        found.save("work.svg")    # a flame graph

    A thread looks `hz` times a second at what is being called, and each stack it sees stands for the time since the
    last look. `found` is a `Profile`, which has nothing before the end of the block. Above a function,
    `@lineshaft.profile` or `@lineshaft.profile(hz=200)` adds up its calls in the `Profile` that is `f.profile`; those
    of coroutine functions until they end, with what they await. Generators are refused: their time is that of who asks
    for items.

    - `hz`: looks a second, from 1 to 1,000. While Python is busy, it lets others in every 5 ms by default
      (`sys.setswitchinterval`), so that there are at most 200.
    - `threads`: `"current"` is the thread that begins, from the function that does so inwards; `"all"` are all threads.
      Where an asyncio loop runs in them, what its suspended tasks await is found too, apart from what threads do.
    - `memory`: whether to find the lines that allocate memory and keep it. Allocating is several times slower then.
    - `native`: whether to show the functions of C, C++ and Rust that a line of Python has called, above that line. Each
      thread is interrupted by a signal at each look. On Linux in CPython 3.11 to 3.13; elsewhere a `RuntimeWarning`
      says once that there are none.

    A forked child is not profiled. Profiles may be in each other. Raises `OptionError` for a wrong option, and
    `DeclarationError` for a generator.
    """
    options = Options(_hz(hz), _threads(threads), flag("memory", memory), flag("native", native))
    profiler = Profiler(options)
    return profiler if function is None else profiler(function)


class Profiler(AbstractContextManager["Profile"]):
    """What `lineshaft.profile(...)` gives: for one `with` at a time, or above any number of functions."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._run: Run | None = None

    def __enter__(self) -> Profile:
        if self._run is not None:
            raise RuntimeError("this profiler is in use: each block that is inside of another one takes its own")
        self._run = Run(self._options, Profile(), sys._getframe(1))
        return self._run.profile

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.stop()

    def __call__(self, function: Callable[P, R], /) -> Profiled[P, R]:
        result: Profiled[P, R] = around(function, self._layer, "profile")
        return result

    def _layer(self, function: Callable[..., Any]) -> Layer:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = getattr(function, "__qualname__", repr(function))
            raise DeclarationError(
                f"{name}: @profile does not take generators, whose time is that of whoever asks for items",
                hint="put `with lineshaft.profile():` around the loop over it",
            )
        calls = Calls(self._options)

        def handle(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
            begun = calls.begin(sys._getframe())
            try:
                return function(*args, **(kwargs or {}))
            finally:
                calls.end(begun)

        def around_coroutine(function: Callable[..., Any]) -> Any:
            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                begun = calls.begin(sys._getframe())
                try:
                    return await function(*args, **kwargs)
                finally:
                    calls.end(begun)

            return wrapper

        shown = shown_call("profile", self._options.given())
        return Layer(shown, _no_body, None, handle, around_coroutine, (("profile", calls.profile),))


def _no_body(call: Invocation[Any]) -> Body:
    raise NotImplementedError("calls of functions and coroutine functions are handled without it")


def _hz(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 1 <= value <= HZ_MAX):
        raise wrong("hz", value, f"1 to {HZ_MAX:,} looks a second")
    return float(value)


def _threads(value: Any) -> str:
    if value not in ("current", "all"):
        raise wrong("threads", value, '"current" (default) or "all"')
    return str(value)

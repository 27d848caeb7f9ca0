"""What is wrong with a decorated call, or with a decorator, is said where it is."""

from collections.abc import Generator
from typing import Any

from lineshaft import Invocation, decorator, limited, logged, retry, timed


@decorator
def traced(call: Invocation[Any], *, level: int = 1) -> Generator[None, Any, Any]:
    yield


@traced
def f(x: int) -> str:
    return str(x)


@logged
def g(x: int) -> str:
    return str(x)


f("a")  # error: mypy[arg-type] pyright[reportArgumentType]
g()  # error: mypy[call-arg] pyright[reportCallIssue]
traced(level="a")  # error: mypy[call-overload] pyright[reportArgumentType]
logged(level=[])  # error: mypy[call-overload] pyright[reportArgumentType]


@retry
@timed
@limited("5/s")
def h(x: int) -> str:
    return str(x)


h("a")  # error: mypy[arg-type] pyright[reportArgumentType]
h.timing.count = 3  # error: mypy[misc] pyright[reportAttributeAccessIssue]
retry(max="3")  # error: mypy[call-overload] pyright[reportArgumentType]
limited(5)  # error: mypy[arg-type] pyright[reportArgumentType]

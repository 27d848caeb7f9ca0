"""`alternatives`, the decorator."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from ._functions import AsyncChosenFunction, ChosenFunction
from ._options import check_implementations, checked
from ._sizes import size_class

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from typing import Protocol

    from ._classes import Implementation

    class Chosen(Protocol[P, R]):
        """A function with several implementations."""

        __wrapped__: Callable[P, R]

        def implementations(self) -> dict[Hashable, list[Implementation]]: ...
        def explain(self) -> str: ...
        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
        @overload
        def __get__(self, instance: None, owner: type) -> Chosen[P, R]: ...
        @overload
        def __get__(self, instance: Any, owner: type) -> Callable[..., R]: ...

    class Chooses(Protocol[P, R]):
        """`alternatives(...)`."""

        def __call__(self, function: Callable[P, R], /) -> Chosen[P, R]: ...


def alternatives(
    *others: Callable[P, R],
    key: Callable[..., Hashable] | None = size_class,
    verify: float = 0.0,
    equal: Callable[[Any, Any], object] | None = None,
) -> Chooses[P, R]:
    """Has the fastest of several implementations do the work of a function: ``@alternatives(by_dict, by_sort)``.

    The function below is the first implementation and the one that is right by definition; `others` take and give the
    same. For each class of arguments all are compared at first, by the median of at least three calls, which takes four
    calls for each implementation at most (sequential halving: Karnin and others, ICML 2013). From then on the fastest
    is called; one call in a hundred looks whether another one has become faster, while that has taken 5 % of all time
    at most, and when the fastest has become slower than it was all are compared again that are not far slower.

    - `key`: gives the class of a call from its arguments, anything hashable; `size_class` by default, which tells
      powers of two of their sizes apart. None has one class. Beyond 1,000 classes the others are one.
    - `verify`: the part of the calls of other implementations, 0.01 for example, whose results are compared with the
      first one's; where they differ the first one does the work of that class from then on, and the log says so.
    - `equal`: compares two results; by default with `==`, arrays of numpy as a whole, and NaN equals NaN.

    One that raises where the first one does not is left out of its class for an hour, and the call gives the first
    one's result. So implementations may be called twice with the same arguments, and must not change them. A coroutine
    is cancelled when a look at it takes three times as long as the slowest of the last 32 calls of the fastest; a
    function cannot be.

    What it gives has `explain()`, a text, and `implementations()`, the same as data. Of methods all instances are one
    function. Raises `DeclarationError` for what cannot be chosen among, `OptionError` for what an option does not take.
    """
    options = checked(key, verify, equal)

    def decorate(function: Callable[P, R]) -> Any:
        functions = (function, *others)
        is_async = check_implementations(functions)
        return AsyncChosenFunction(functions, options) if is_async else ChosenFunction(functions, options)

    return decorate

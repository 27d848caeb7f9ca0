"""`app.alternatives`: the processes of an app learn together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from .._names import canonical_name
from ._sizes import size_class

if TYPE_CHECKING:
    from .._app import App
    from ._decorator import Chooses

P = ParamSpec("P")
R = TypeVar("R")


class ChoosesAlternatives:
    """What an app can do about functions with several implementations."""

    def alternatives(
        self,
        *others: Callable[P, R],
        key: Callable[..., Hashable] | None = size_class,
        verify: float = 0.0,
        equal: Callable[[Any, Any], object] | None = None,
    ) -> Chooses[P, R]:
        """As `lineshaft.alternatives`, for all processes of the app together and beyond their ends.

        What one has learned is in the engine's cache a second later, and others look there when they meet a class of
        arguments and every minute. No call waits for it, and without the engine each process learns by itself. A class
        has to be a value of docs/values.md.
        """
        from ._decorator import alternatives
        from ._sharing import Sharing

        decorate = alternatives(*others, key=key, verify=verify, equal=equal)

        def share(function: Callable[P, R]) -> Any:
            chosen: Any = decorate(function)
            chosen._classes.share(Sharing(cast("App", self), canonical_name(function), chosen._classes.names))
            return chosen

        return share

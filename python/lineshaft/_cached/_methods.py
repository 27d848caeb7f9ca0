"""A method whose results are shared, as its instance has it."""

from __future__ import annotations

from typing import Any


class BoundShared:
    """What `instance.method` is: `self` is among the arguments of its calls, and of the verbs of its `cache`."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: Any, instance: object) -> None:
        self.__func__, self.__self__ = function, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    @property
    def cache(self) -> Any:
        """The cache of the function, whose verbs that take arguments have the instance before them."""
        return self.__func__.cache.of_instance(self.__self__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __repr__(self) -> str:
        return f"<bound method {self.__func__.__qualname__} of {self.__self__!r}, cached>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundShared):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

"""Classes of every shape that a value may have, for `test_value_kinds.py`."""

from __future__ import annotations

import collections
import enum
import sys
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from lineshaft import _native

T = TypeVar("T")


class Number(enum.IntEnum):
    ONE = 1


class Text(str, enum.Enum):
    A = "a"


class Alias(enum.Enum):
    FIRST = 1
    SECOND = 1  # noqa: PIE796 (an alias)


class Rich(enum.Enum):
    HEAVY = (5, ["unhashable"])

    def __init__(self, weight: int, parts: list[str]) -> None:
        self.weight = weight


class Bits(enum.Flag):
    READ = 1
    WRITE = 2


class IntBits(enum.IntFlag):
    READ = 1
    WRITE = 2


class Plain(NamedTuple):
    a: int
    b: str = "b"
    c: tuple[Any, ...] = ()


class Below(NamedTuple("Base", [("a", int)])):
    """A subclass of a named tuple."""

    __slots__ = ()


Old = collections.namedtuple("Old", "a b", defaults=[5])


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    a: int
    b: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class Keywords:
    a: int
    b: int = 2


@dataclass
class PartlyKeywords:
    a: int
    _: KW_ONLY
    b: int = 3


@dataclass
class Initial:
    a: int
    seed: InitVar[int] = 0
    total: int = field(init=False, default=0)
    kind: ClassVar[str] = "initial"

    def __post_init__(self, seed: int) -> None:
        self.total = self.a + seed


@dataclass
class Parent:
    a: int


@dataclass
class Child(Parent):
    b: int = 0


class Undecorated(Parent):
    """A dataclass by inheritance."""


@dataclass(slots=True)
class SlotParent:
    a: int


@dataclass(slots=True)
class SlotChild(SlotParent):
    b: int = 1


@dataclass
class Box(Generic[T]):
    content: T


@dataclass(frozen=True)
class FrozenBox(Generic[T]):
    content: T


@dataclass
class Mangled:
    __a: int = 1


@dataclass(eq=False)
class Node:
    value: Any = None
    kids: list[Any] = field(default_factory=list)
    up: Any = None


@dataclass(unsafe_hash=True)
class Hashed:
    key: int = 0
    value: Any = field(default=None, compare=False)


@dataclass(unsafe_hash=True)
class Late:
    """Its hash asks for a field that comes after the one that it may be in."""

    inside: dict[Any, int] = field(compare=False)
    key: int


CLASSES: list[type] = [
    *(Number, Text, Alias, Rich, Bits, IntBits, Plain, Below, Old, FrozenSlots, Keywords, PartlyKeywords, Initial),
    *(Parent, Child, Undecorated, SlotParent, SlotChild, Box, FrozenBox, Mangled, Node, Hashed, Late),
]
if sys.version_info >= (3, 11):

    class Word(enum.StrEnum):
        A = "a"

    class Kept(enum.Flag, boundary=enum.KEEP):
        READ = 1

    class Ejected(enum.Flag, boundary=enum.EJECT):
        READ = 1

    CLASSES += [Word, Kept, Ejected]


INITS: list[str] = []


class Keyworded(Exception):
    def __init__(self, address: str, *, code: int) -> None:
        INITS.append("Keyworded")
        super().__init__(f"{address} bounced")
        self.code = code


class Wordless(Exception):
    def __init__(self) -> None:
        INITS.append("Wordless")


class Worded(KeyError):
    """It gives its ancestor other arguments, and has a text of its own."""

    def __init__(self, key: str, detail: list[str]) -> None:
        INITS.append("Worded")
        super().__init__(key, 1)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.detail}"


class Missing(FileNotFoundError):
    def __init__(self, number: int, text: str, file: str) -> None:
        INITS.append("Missing")
        super().__init__(number, text, file)


CLASSES += [Keyworded, Wordless, Worded, Missing]


def make_registry(*more: type) -> _native.Registry:
    registry = _native.Registry()
    for cls in (*CLASSES, *more):
        registry.register(cls, f"kinds.{cls.__name__}")
    return registry

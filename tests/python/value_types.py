"""Types and names that the test vectors of values speak of."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import importlib
import math
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import lineshaft
from lineshaft import _native


class Color(enum.Enum):
    RED = "red"
    GREEN = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Permission(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclass
class Order:
    id: int
    total: decimal.Decimal
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Point:
    __slots__ = ("x", "y")
    x: float
    y: float


class Pair(NamedTuple):
    left: int
    right: str = "right"


class Bounced(Exception):
    def __init__(self, address: str, code: int) -> None:
        super().__init__(f"{address} bounced")
        self.code = code


def models() -> list[type]:
    """Classes of the libraries that are installed."""
    found: list[type] = []
    with contextlib.suppress(ImportError):
        import pydantic

        class Draft(pydantic.BaseModel):
            id: int
            note: str = "n"
            _seen: int = pydantic.PrivateAttr(default=2)

        found.append(Draft)
    with contextlib.suppress(ImportError):
        import msgspec

        found.append(msgspec.defstruct("Step", [("to", str), ("by", int, 1)], module=__name__))
    with contextlib.suppress(ImportError):
        import attrs

        found.append(attrs.make_class("Mark", {"at": attrs.field()}))
    return found


TYPES = (Color, Level, Permission, Order, Point, Pair, Bounced, *models())


def make_registry() -> _native.Registry:
    registry = _native.Registry(accept_pickle=True)
    for cls in TYPES:
        registry.register(cls, f"shop.{cls.__name__}")
    return registry


def shared() -> list[Any]:
    inner = [1]
    return [inner, {"again": inner}]


def cycle() -> list[Any]:
    outer: list[Any] = [1]
    outer.append(outer)
    return outer


def known() -> Order:
    order = Order(1, decimal.Decimal(0))
    order.items.append(order)
    return order


def namespace() -> dict[str, Any]:
    """What the expressions of the vectors may name; libraries only where they are installed."""
    names: dict[str, Any] = {cls.__name__: cls for cls in TYPES}
    names.update(datetime=datetime, decimal=decimal, math=math, uuid=uuid, zoneinfo=zoneinfo)
    names.update(shared=shared, cycle=cycle, known=known)
    names.update(lineshaft=lineshaft)
    for library in ("numpy", "pyarrow"):
        with contextlib.suppress(ImportError):
            names[library] = importlib.import_module(library)
    return names

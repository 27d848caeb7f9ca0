"""Models of pydantic, msgspec and attrs for the tests of values, and an app that takes them."""

from __future__ import annotations

import datetime
import os
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import pydantic
import pydantic.dataclasses

from lineshaft import App

app = App(os.environ.get("MODELS_HOME", "unused"))

T = TypeVar("T")


class Line(pydantic.BaseModel):
    text: str
    price: float = 1.0


class Invoice(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(validate_assignment=True)

    number: int
    lines: list[Line] = []
    note: str = pydantic.Field(default="", alias="remark")
    made: datetime.date = pydantic.Field(default_factory=lambda: datetime.date(2026, 1, 2))
    _seen: int = pydantic.PrivateAttr(default=0)

    @pydantic.field_validator("number")
    @classmethod
    def count_validations(cls, number: int) -> int:
        validations.append(number)
        return number

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._seen = 1


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    name: str


class Page(pydantic.BaseModel, Generic[T]):
    items: list[T]
    next: Page[T] | None = None


class Numbers(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Parcel:
    weight: int
    line: Line | None = None


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    tags: list[str] = []
    hint: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        validations.append(self.id)


class Node(msgspec.Struct, rename="camel", tag=True):
    node_name: str
    next_node: Node | None = None


class Small(msgspec.Struct, gc=False):
    x: int


@attrs.define
class Slotted:
    a: int
    b: list[int] = attrs.Factory(list)
    c: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        validations.append(self.a)
        self.c = self.a * 2


@attrs.frozen(cache_hash=True, slots=False)
class Hashed:
    a: int = attrs.field(converter=int)
    b: int = attrs.Factory(lambda self: self.a, takes_self=True)


@attrs.frozen(cache_hash=True)
class HashedSlots:
    a: int


validations: list[Any] = []
"""What validators and hooks saw."""


@app.task
def total(invoice: Invoice, page: Page[Line], more: list[Slotted] | None = None) -> Page[Invoice]:
    assert isinstance(page, Page[Line])
    return Page[Invoice](items=[invoice])

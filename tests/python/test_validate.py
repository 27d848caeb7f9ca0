"""`validate=True`, and the annotations of pydantic and msgspec, which are checked anyway."""

# ruff: noqa: F821, RUF012, UP007, UP045 - annotations as people write them

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, Union

import pytest

from lineshaft import App, Tasks

WAIT = 60
app = App()


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    count: int = 1
    parts: list[Item] = field(default_factory=list)


class Row(TypedDict):
    a: int


class Quacks(Protocol):
    def quack(self) -> None: ...


UserId = NewType("UserId", int)


def taking(annotation: object) -> Callable[..., Any]:
    """A task with one argument of this annotation."""

    def takes(x: object) -> None: ...

    takes.__qualname__ = "takes"
    takes.__annotations__ = {"x": annotation}
    return App().task(validate=True, name="takes")(takes)


GOOD = [
    (int, 1),
    (int, True),
    (float, 1),
    (float, 1.5),
    (complex, 1),
    (str, "x"),
    (bytes, b""),
    (object, print),
    (Any, print),
    (None, None),
    (Optional[int], None),
    (Union[int, str], "x"),
    ("int | None", 3),
    (Literal["a", 1], 1),
    (list, [print]),
    (list[int], []),
    (list[int], [1, 2]),
    (set[str], {"a"}),
    (frozenset[int], frozenset((1,))),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (dict[str, list[int]], {"a": [1]}),
    (Sequence[int], (1, 2)),
    (Mapping[str, int], {"a": 1}),
    (Iterable[int], iter("x")),
    (Callable[[], None], print),
    (type[int], int),
    (Colour, Colour.RED),
    (Item, Item("a")),
    (Item, Item("a", 2, [Item("b")])),
    (Row, {"a": 1}),
    (Quacks, 3),
    (UserId, 4),
    (Annotated[int, "unit"], 5),
    ("NotThere", 6),
    (list["NotThere"], 7),
    (list[Any], [print]),
]


def named(value):
    """As it reads in each process: without its address."""
    return repr(value).partition(" at 0x")[0]


@pytest.mark.parametrize(("annotation", "value"), GOOD, ids=named)
def test_what_fits_passes_as_it_is(annotation, value):
    call = taking(annotation).si(value)
    assert call.args[0] is value
    assert taking(annotation).si(x=value).kwargs == {"x": value}


BAD = [
    (int, "1", "`x` has to be int, this is '1'"),
    (int, 1.0, "`x` has to be int, this is 1.0"),
    (str, b"a", "`x` has to be str, this is b'a'"),
    (float, "1", "`x` has to be float, this is '1'"),
    (None, 0, "`x` has to be None, this is 0"),
    (Optional[int], "a", "`x` has to be Optional[int], this is 'a'"),
    (Literal["a", 1], True, "`x` has to be Literal['a', 1], this is True"),
    (list[int], (1,), "`x` has to be list[int], this is (1,)"),
    (list[int], [1, "a"], "`x[1]` has to be int, this is 'a'"),
    (tuple[int, str], (1,), "`x` has to be tuple[int, str], of 2 members, this is (1,)"),
    (tuple[int, str], (1, 2), "`x[1]` has to be str, this is 2"),
    (tuple[int, ...], (1, "a"), "`x[1]` has to be int, this is 'a'"),
    (dict[str, list[int]], {"a": [1, None]}, "`x['a'][1]` has to be int, this is None"),
    (dict[str, int], {1: 1}, "`x key 1` has to be str, this is 1"),
    (Sequence[str], "text", "`x` has to be Sequence[str], this is 'text'"),
    (Colour, "red", "`x` has to be Colour, this is 'red'"),
    (Item, {"name": "a"}, "`x` has to be Item, this is {'name': 'a'}"),
    (Item, Item("a", "2"), "`x.count` has to be int, this is '2'"),
    (Item, Item("a", 1, [Item("b", None)]), "`x.parts[0].count` has to be int, this is None"),
    (Row, [], "`x` has to be Row, this is []"),
    (UserId, "4", "`x` has to be int, this is '4'"),
    (Annotated[int, "unit"], "5", "`x` has to be int, this is '5'"),
    (str, 10**100, f"`x` has to be str, this is {'1' + '0' * 76}..."),
]


@pytest.mark.parametrize(("annotation", "value", "said"), BAD, ids=repr)
def test_what_does_not_fit_names_argument_type_and_value(annotation, value, said):
    task = taking(annotation)
    for call in (lambda: task.si(value), lambda: task.enqueue(x=value), lambda: task.using(priority=1).si(value)):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == f"takes: argument {said}"


def test_a_value_that_contains_itself_is_refused_rather_than_followed():
    item = Item("a")
    item.parts.append(item)
    with pytest.raises(TypeError, match="has to be a value that does not contain itself"):
        taking(Item).si(item)


@app.task(validate=True, name="mixed")
def mixed(a: int, *rest: str, key: int = 0, **more: float) -> None: ...


def test_every_kind_of_parameter_is_checked():
    assert mixed.si(1, "a", key=2, w=1.5).args == (1, "a")
    for call, said in (
        (lambda: mixed.si("1"), "mixed: argument `a` has to be int, this is '1'"),
        (lambda: mixed.si(1, "a", 2), "mixed: argument `rest[1]` has to be str, this is 2"),
        (lambda: mixed.si(1, key="2"), "mixed: argument `key` has to be int, this is '2'"),
        (lambda: mixed.si(1, w="x"), "mixed: argument `w` has to be float, this is 'x'"),
        (lambda: mixed.si(), None),
    ):
        with pytest.raises(TypeError) as caught:
            call()
        assert said is None or str(caught.value) == said


def test_without_validate_nothing_is_checked_and_a_group_may_ask_for_all():
    def free(x: int) -> None: ...

    free.__qualname__ = "free"
    assert App().task(free).si("a").args == ("a",)
    assert App().task(validate=False)(free).si("a").args == ("a",)
    with pytest.raises(TypeError):
        Tasks(validate=True).task(free).si("a")
    assert Tasks(validate=True).task(validate=False)(free).si("a").args == ("a",)


def test_a_worker_checks_what_others_send(programs):
    programs.write(
        "checked.py",
        """
        from lineshaft import App, TaskFailed

        app, stranger = App(), App()

        @app.task(validate=True, retries=3, name="double")
        def double(n: int) -> int:
            return n * 2

        def anything(n): ...

        if __name__ == "__main__":
            sender = stranger.task(name="double")(anything)
            with app.workers(1):
                print(double.enqueue(2).result())
                job = sender.enqueue("2")
                try:
                    job.result()
                except TaskFailed as error:
                    print(error.reason, error.attempt, error.message)
        """,
    )
    ended = programs.run("checked.py")
    assert ended.stdout.splitlines() == [
        "4",
        "arguments_undecodable 1 double: argument `n` has to be int, this is '2'",
    ], ended.stderr


def test_annotations_of_pydantic_are_checked_without_being_asked():
    pydantic = pytest.importorskip("pydantic")

    class Order(pydantic.BaseModel):
        id: int
        lines: list[str] = []

    def place(order, count=1, *, note=""): ...

    place.__qualname__ = "place"
    place.__annotations__ = {"order": Order, "count": Annotated[int, pydantic.Field(gt=0)], "note": str}
    task = App().task(name="place")(place)
    order = Order(id=1)
    assert task.si(order).args[0] is order
    assert task.si({"id": "7"}, note=5).args[0] == Order(id=7)
    with pytest.raises(TypeError) as caught:
        task.si({"id": "x"})
    assert str(caught.value) == (
        "place: argument `order` has to be Order "
        "(id: Input should be a valid integer, unable to parse string as an integer), this is {'id': 'x'}"
    )
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    with pytest.raises(TypeError, match=r"argument `count` has to be .*\(Input should be greater than 0\), this is 0"):
        task.si(order, 0)
    with pytest.raises(TypeError, match="argument `note` has to be str"):
        App().task(name="place", validate=True)(place).si(order, note=5)
    assert App().task(name="place", validate=False)(place).si("free").args == ("free",)


def test_annotations_of_msgspec_are_checked_without_being_asked():
    msgspec = pytest.importorskip("msgspec")
    struct = msgspec.defstruct("Struct", [("id", int)])

    def place(order): ...

    place.__qualname__ = "place"
    place.__annotations__ = {"order": Optional[struct]}
    task = App().task(name="place")(place)
    made = struct(1)
    assert task.si(made).args[0] is made
    assert task.si(None).args == (None,)
    assert task.si({"id": 7}).args == (struct(7),)
    with pytest.raises(TypeError) as caught:
        task.si({"id": "x"})
    assert str(caught.value).startswith("place: argument `order` has to be Optional[")
    assert "(Expected `int`, got `str` - at `$.id`), this is {'id': 'x'}" in str(caught.value)


def test_tasks_without_models_keep_the_fast_way_even_where_pydantic_is_loaded():
    pytest.importorskip("pydantic")

    def plain(a: int, b: int = 1) -> None: ...

    plain.__qualname__ = "plain"
    task = App().task(name="plain")(plain)
    assert "pydantic" in sys.modules
    task.si(1)
    assert (task.binder.least, task.binder.most) == (1, 2)

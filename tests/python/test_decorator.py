"""`lineshaft.decorator`: one body for functions of every kind, which stay what they are."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import pickle
import traceback
import weakref
from unittest.mock import AsyncMock, Mock

import pytest

import decorated
from decorated import Shop, heard, traced
from lineshaft import App, DeclarationError, UnknownOption, cached, decorator, layers

KINDS = ["plain", "coroutine", "generator", "async_generator"]


@pytest.fixture(autouse=True)
def _nothing_heard():
    heard.clear()


async def _collected(items):
    return [item async for item in items]


def use(function, *args, **kwargs):
    """Calls a function of any kind to its end; items as a list."""
    made = function(*args, **kwargs)
    if inspect.isasyncgen(made):
        return asyncio.run(_collected(made))
    if inspect.isgenerator(made):
        return list(made)
    return asyncio.run(made) if inspect.iscoroutine(made) else made


@pytest.mark.parametrize(
    ("kind", "gives", "result"),
    [("plain", 3, 3), ("coroutine", 3, 3), ("generator", [1, 2], 3), ("async_generator", [1, 2], None)],
)
def test_one_body_does_for_every_kind(kind, gives, result):
    assert use(getattr(decorated, kind), 1) == gives
    assert heard == [f"-> {kind}", f"<- {result}"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_stays_what_it_is(kind):
    function = getattr(decorated, kind)
    inner = function.__wrapped__
    assert (function.__name__, function.__qualname__, function.__module__) == (kind, kind, "decorated")
    assert function.__doc__ == inner.__doc__ != None  # noqa: E711
    assert function.__annotations__ == inner.__annotations__
    assert inspect.signature(function) == inspect.signature(inner)
    for question in ("iscoroutinefunction", "isgeneratorfunction", "isasyncgenfunction"):
        assert getattr(inspect, question)(function) == getattr(inspect, question)(inner), question
    assert asyncio.iscoroutinefunction(function) == (kind == "coroutine")
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.copy(function) is copy.deepcopy(function) is function
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        use(function)


def test_every_kind_of_method_works_on_instances_and_classes():
    shop = Shop()
    assert shop.price(3) == Shop.price(shop, 3) == 6
    assert use(shop.stock, "abc") == use(Shop.stock, shop, "abc") == 3
    assert use(shop.items) == use(shop.arrivals) == [2]
    for name in ("above_class", "below_class"):
        assert getattr(Shop, name)(3) == getattr(shop, name)(3) == 6
    for name in ("above_static", "below_static"):
        assert getattr(Shop, name)(3) == getattr(shop, name)(3) == 9
    assert shop.above_property == shop.below_property == 2
    assert len(heard) == 2 * (2 + 2 + 2 + 4 + 4 + 2)
    assert isinstance(vars(Shop)["above_class"], classmethod)
    assert isinstance(vars(Shop)["above_static"], staticmethod)
    assert isinstance(Shop.above_property, property)
    assert str(inspect.signature(shop.price)) == "(net: 'int') -> 'int'"
    assert inspect.iscoroutinefunction(shop.stock)
    assert shop.price == shop.price
    assert pickle.loads(pickle.dumps(Shop.price)) is Shop.price


class Late:
    def __init__(self):
        self.written = []

    def add(self, x, y):
        return x + y

    add_one = traced(functools.partialmethod(add, 1))

    @traced
    @functools.cached_property
    def once(self):
        return object()

    @property
    def value(self):
        return self.written[-1]

    @value.setter
    def value(self, value):
        self.written.append(value)

    value = traced(value)


def test_partials_cached_properties_and_setters_work():
    late = Late()
    assert late.add_one(2) == 3
    assert late.once is late.once
    late.value = 5
    assert late.value == 5
    add = traced(functools.partial(late.add, 1))
    assert (add(4), add.__name__) == (5, "add")
    assert [line for line in heard if line.startswith("->")] == ["-> add", "-> once", "-> value", "-> value", "-> add"]


class Callables:
    def __call__(self, x):
        return x


class AsyncCallables:
    async def __call__(self, x):
        return x


def test_callable_objects_are_functions_too():
    assert use(traced(Callables()), 1) == use(traced(AsyncCallables()), 1) == 1
    assert heard == ["-> Callables", "<- 1", "-> AsyncCallables", "<- 1"]


def test_mocks_are_functions_or_coroutine_functions():
    plain, coroutine = Mock(return_value=3), AsyncMock(return_value=4)
    assert traced(plain)(1, x=2) == 3
    assert use(traced(coroutine), 1) == 4
    plain.assert_called_once_with(1, x=2)
    coroutine.assert_awaited_once_with(1)


@decorator
def swallowing(call, *, instead=None):
    try:
        yield
    except ValueError:
        return instead


def bad(error):
    raise error


async def bad_coroutine(error):
    raise error


def bad_generator(error):
    yield 1
    raise error


async def bad_async_generator(error):
    yield 1
    raise error


BAD = [bad, bad_coroutine, bad_generator, bad_async_generator]


@pytest.mark.parametrize("function", BAD)
def test_a_body_can_catch_what_the_function_raises(function):
    assert use(swallowing(instead=7)(function), ValueError()) == ([1] if "generator" in function.__name__ else 7)
    with pytest.raises(KeyError):
        use(swallowing(function), KeyError())


@pytest.mark.parametrize("function", BAD)
def test_what_a_body_lets_pass_arrives_as_it_was_raised(function):
    error = KeyError("k")
    cause = error.__cause__ = OSError()
    with pytest.raises(KeyError) as raised:
        use(traced(function), error)
    assert raised.value is error
    assert error.__cause__ is cause
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames.count(function.__name__) == 1
    assert "traced" not in frames


def test_a_function_may_raise_stop_iteration():
    class Numbers:
        def __iter__(self):
            return self

        @traced
        def __next__(self):
            raise StopIteration(7)

    with pytest.raises(StopIteration) as raised:
        next(Numbers())
    assert raised.value.value == 7
    assert raised.value.__context__ is None
    assert list(Numbers()) == []


def test_the_body_sees_and_changes_arguments_and_result():
    @decorator
    def doubling(call):
        assert call.arguments == {"x": 1, "y": 2, "rest": (), "more": {"z": 3}}
        call.args = tuple(2 * each for each in call.args)
        result = yield
        assert result == call.result
        return result + 1

    @doubling
    def f(x, y=2, *rest, **more):
        return x, y, more

    with pytest.raises(TypeError, match="concatenate"):
        f(1, z=3)

    @decorator
    def none(call):
        yield
        call.result = None

    assert none(lambda: 5)() is None


def test_a_body_may_call_twice_or_not_at_all():
    @decorator
    def twice(call):
        first = yield
        second = yield
        return [first, second]

    @decorator
    def never(call):
        return "instead"
        yield

    counter = iter(range(10))

    def count():
        return next(counter)

    async def acount():
        return next(counter)

    def items():
        yield next(counter)

    assert twice(count)() == [0, 1]
    assert use(twice(acount)) == [2, 3]
    assert use(twice(items)) == [4, 5]
    assert never(count)() == use(never(acount)) == "instead"
    assert next(counter) == 6


def test_a_pause_waits_without_keeping_coroutines_from_running():
    @decorator
    def later(call):
        yield call.pause("20ms")
        yield

    ran = []

    @later
    async def slow():
        ran.append("slow")

    async def main():
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        ran.append("other")
        await task

    asyncio.run(main())
    assert ran == ["other", "slow"]
    assert later(lambda: 3)() == 3
    assert use(later(decorated.generator), 1) == use(later(decorated.async_generator), 1) == [1, 2]


def test_what_is_yielded_else_is_refused():
    @decorator
    def wrong(call):
        try:
            yield call.function
        finally:
            closed.append(1)

    closed = []
    with pytest.raises(TypeError, match=r"yields <function .* or `yield call.pause") as raised:
        wrong(lambda: 1)()
    assert closed == [1], raised


def echo():
    got = []
    while len(got) < 3:
        try:
            got.append((yield len(got)))
        except ValueError:
            got.append("thrown")
    return got


async def async_echo(ends):
    got = []
    try:
        while len(got) < 3:
            try:
                got.append((yield len(got)))
            except ValueError:
                got.append("thrown")
    finally:
        await asyncio.sleep(0)
        ends.append(got)


def test_generators_are_sent_to_thrown_into_and_closed():
    items = traced(echo)()
    assert [next(items), items.send("a"), items.throw(ValueError())] == [0, 1, 2]
    with pytest.raises(StopIteration) as end:
        items.send("b")
    assert end.value.value == ["a", "thrown", "b"]
    items = traced(echo)()
    items.send(None)
    assert items.throw(ValueError()) == 1
    items.close()
    assert heard[-1] == "<- GeneratorExit"
    with pytest.raises(StopIteration):
        next(items)


def test_a_generator_is_closed_although_somebody_else_has_it():
    @decorator
    def instead(call):
        call.function = lambda: held
        yield

    held = echo()
    items = instead(echo)()
    next(items)
    items.close()
    assert inspect.getgeneratorstate(held) == inspect.GEN_CLOSED


def test_async_generators_are_sent_to_thrown_into_and_closed():
    ends = []

    async def main():
        items = traced(async_echo)(ends)
        assert await items.__anext__() == 0
        assert await items.asend("a") == 1
        assert await items.athrow(ValueError()) == 2
        with pytest.raises(StopAsyncIteration):
            await items.asend("b")
        items = traced(async_echo)(ends)
        await items.__anext__()
        await items.aclose()

    asyncio.run(main())
    assert ends == [["a", "thrown", "b"], []]
    assert heard[-1] == "<- GeneratorExit"


def test_a_cancelled_coroutine_ends_its_body():
    @traced
    async def endless():
        await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(endless())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert heard == ["-> endless", "<- CancelledError"]


def test_the_layers_of_a_function_are_told_from_the_outside_in():
    def theirs(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    @traced(level=3)
    @theirs
    @cached
    @traced
    def f(x):
        return x

    assert f(1) == 1
    name = f.__qualname__
    [foreign] = [layer for layer in layers(f) if layer.endswith("wrapper")]
    assert layers(f) == ["traced(level=3)", foreign, "cached", "traced", name]
    assert layers(vars(Shop)["above_class"]) == ["classmethod", "traced", "Shop.above_class"]
    assert layers(Shop().below_class) == ["traced", "Shop.below_class"]
    assert layers(Shop.above_property) == ["property", "traced", "Shop.above_property"]
    assert layers(Shop().stock) == ["traced", "Shop.stock"]
    assert layers(len) == ["len"]


def test_a_task_has_layers_below_it_and_none_above():
    app = App()

    task = app.task(decorated.plain)
    assert task(1) == 3
    assert task.name.endswith("decorated.plain")
    assert layers(task) == ["task", "traced", "plain"]
    assert app.task(decorated.coroutine).name.endswith("decorated.coroutine")
    with pytest.raises(DeclarationError, match="would hide `enqueue`") as refused:
        traced(task)
    assert "put @traced below @app.task" in str(refused.value)
    with pytest.raises(DeclarationError, match="generator"):
        app.task(decorated.generator)


def test_it_stands_above_cached_and_below():
    calls = []

    @traced
    @cached
    def above(x):
        calls.append(x)
        return x

    @cached
    @traced
    def below(x):
        return x

    @traced
    @cached
    async def coroutine(x):
        return x

    assert above(1) == above(1) == below(1) == below(1) == use(coroutine, 1) == 1
    assert calls == [1]
    assert [line for line in heard if line.startswith("->")] == ["-> above", "-> above", "-> below", "-> coroutine"]


def test_bodies_and_uses_that_are_wrong_say_what_is_right():
    def no_generator(call):
        return call()

    def without_call():
        yield

    def positional(call, level=1):
        yield

    async def coroutine(call):
        yield

    @decorator
    def demanding(call, *, level):
        yield

    for body, hint in (
        (no_generator, "result = yield"),
        (coroutine, "no `async` is needed"),
        (without_call, r"def body\(call"),
        (positional, r"def positional\(call, \*, level\)"),
    ):
        with pytest.raises(DeclarationError, match=hint):
            decorator(body)
    for use_of, message in (
        (lambda: traced(3), "stands above a function, not 3"),
        (lambda: traced(len, level=3), "options by name"),
        (lambda: traced(int), "would hide the class"),
        (lambda: demanding(len), "needs level"),
    ):
        with pytest.raises(DeclarationError, match=message):
            use_of()
    with pytest.raises(UnknownOption, match="did you mean `level`"):
        traced(levle=3)
    assert demanding(level=1)(len)("abc") == 3


def test_a_decorator_stays_what_it_is():
    assert (traced.__name__, traced.__doc__) == ("traced", "Keeps what happens, in `heard`.")
    assert pickle.loads(pickle.dumps(traced)) is traced
    assert repr(traced) == "<decorator traced>"
    assert repr(decorated.plain) == "<function plain, traced>"


def test_nothing_is_kept_alive():
    @decorator
    def asking(call):
        assert call.arguments["x"] >= 0
        yield

    def made():
        @asking
        def recursive(x):
            return recursive(x - 1) if x else 0

        recursive(2)
        return weakref.ref(recursive)

    gone = made()
    gc.collect()
    assert gone() is None


def step(made):
    """Runs it to its end without an event loop, which would keep what was raised."""
    if inspect.isasyncgen(made):
        with contextlib.suppress(StopIteration):
            made.asend(None).send(None)
        made.asend(None).send(None)
    elif inspect.isgenerator(made):
        list(made)
    elif inspect.iscoroutine(made):
        made.send(None)


@pytest.mark.parametrize("function", BAD)
def test_an_exception_is_gone_when_nobody_has_it(function):
    class Error(Exception):
        pass

    def made():
        try:
            step(traced(function)(Error))
        except Error as error:
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        gone = made()
        assert gone() is None
    finally:
        gc.enable()


def test_arguments_are_known_of_what_cannot_be_hashed():
    class Unhashable:
        __hash__ = None

        def __call__(self, x, y=2):
            return x

    @decorator
    def asking(call):
        asked.append(call.arguments)
        yield

    asked = []
    assert asking(Unhashable())(1) == 1
    assert asked == [{"x": 1, "y": 2}]


def test_deep_recursion_is_an_error_and_not_a_crash(programs):
    program = """
import sys
from lineshaft import retry, timed

@retry(never=RecursionError)
@timed
def deep(x):
    return deep(x - 1) + 1 if x else 0

sys.setrecursionlimit(4_000)
print(deep(900))
try:
    deep(1_000_000)
except RecursionError:
    print("too deep")
"""
    ended = programs.run(programs.write("deep.py", program))
    assert (ended.returncode, ended.stdout) == (0, "900\ntoo deep\n"), ended.stderr


TASKS = """
from lineshaft import App, layers, logged, retry, timed

app = App()
left = [ConnectionError("refused"), ConnectionError("reset")]

@app.task
@logged
@timed
@retry(first="1ms")
def fetch(x: int) -> int:
    if left:
        raise left.pop()
    return fetch.function.timing.count + x

@app.task
@retry(first="1ms")
@logged
async def afetch(x: int) -> int:
    return x + 1

if __name__ == "__main__":
    print(layers(fetch))
    with app.workers(1):
        jobs = [fetch.enqueue(4), afetch.enqueue(4)]
        print([job.result(timeout=60) for job in jobs])
        print(jobs[0].output(), jobs[1].output(), sep="", end="")
"""


def test_decorated_tasks_run_in_workers(programs):
    ended = programs.run(programs.write("tasks.py", TASKS), timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[:2] == ["['task', 'logged', 'timed', \"retry(first='1ms')\", 'fetch']", "[4, 5]"]
    assert "Calling fetch with arguments (4,) and keyword arguments {}" in ended.stdout
    assert "afetch returned 5" in ended.stdout

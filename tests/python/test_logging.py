"""`lineshaft.logging`: what is heard, what records have, and where they go."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import pickle
import re
import threading
from collections import OrderedDict, deque
from pathlib import Path

import pytest

import lineshaft
from lineshaft import OptionError, UnknownOption
from lineshaft.logging import Logger, configure, configure_from, context, flush, get_logger, records, reload, status

MEMORY = {"kind": "memory"}


@pytest.fixture(autouse=True)
def _quiet_again():
    yield
    configure(level="warning", handlers=[], capture_stdlib=False)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "app.log"


def to_file(path: Path, **options) -> dict:
    return {"kind": "file", "path": path, **options}


def written(path: Path) -> list[dict]:
    assert flush(timeout=10)
    return [json.loads(line) for line in path.read_text().splitlines()]


def heard() -> list[str]:
    return [record.message for record in records()]


def test_a_record_has_fields_and_its_place(path):
    configure(handlers=[to_file(path, format="json")])
    get_logger("shop.mail").info("sent", to="ada@example.org", ms=3, ratio=0.5, ok=True, none=None)
    [record] = written(path)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "shop.mail",
        "message": "sent",
        "fields": {"to": "ada@example.org", "ms": 3, "ratio": 0.5, "ok": True, "none": None},
        "process": record["process"],
        "thread": "MainThread",
        "file": __file__,
        "line": record["line"],
        "function": "test_a_record_has_fields_and_its_place",
    }
    assert "shop.mail" in Path(__file__).read_text().splitlines()[record["line"] - 1]


def test_each_method_has_its_level(path):
    configure(level="trace", handlers=[to_file(path, format="{level}")])
    log = get_logger("app")
    for method in (log.trace, log.debug, log.info, log.warning, log.error, log.critical, log.warn):
        method("x")
    log.log("info", "x")
    log.log(33, "x")
    flush()
    expected = ["trace", "debug", "info", "warning", "error", "critical", "warning", "info", "33"]
    assert path.read_text().split() == expected


def test_directives_say_what_is_heard():
    configure(level="warning,shop=info,shop.mail=debug,[tenant=acme]=trace", handlers=[MEMORY])
    for name in ("app", "shop", "shop.mail", "shopping"):
        log = get_logger(name)
        for level in ("debug", "info", "warning"):
            log.log(level, f"{name} {level}")
    get_logger("app").trace("for acme", tenant="acme")
    get_logger("app").trace("for others", tenant="other")
    assert heard() == [
        "app warning",
        "shop info",
        "shop warning",
        "shop.mail debug",
        "shop.mail info",
        "shop.mail warning",
        "shopping warning",
        "for acme",
    ]


def test_enabled_says_whether_it_might_be_heard():
    configure(level="info,shop=off", handlers=[MEMORY])
    assert get_logger("app").enabled("info")
    assert not get_logger("app").enabled(10)
    assert not get_logger("shop.x").enabled("critical")
    configure(level="debug", handlers=[{**MEMORY, "level": "error"}])
    assert not get_logger("app").enabled("warning")
    assert get_logger("app").enabled("error")
    with pytest.raises(OptionError, match='"loud" is no level'):
        get_logger("app").enabled("loud")


def test_enabled_has_the_names_that_other_loggers_give_it():
    configure(level="info", handlers=[MEMORY])
    log = get_logger("app")
    for asks in (log.is_enabled_for, log.isEnabledFor):
        assert (asks("info"), asks(10), asks(logging.ERROR)) == (True, False, True)


def test_a_child_is_below_its_logger_and_has_its_fields():
    configure(level="warning,shop.mail=info", handlers=[MEMORY])
    shop = get_logger("shop").bind(tenant="acme")
    shop.child("mail.queue").info("heard", size=3)
    shop.getChild("web").info("not heard")
    (record,) = records()
    assert (record.logger, record.fields) == ("shop.mail.queue", {"tenant": "acme", "size": 3})
    assert get_logger("shop").child("mail") is get_logger("shop.mail")
    assert get_logger().child("shop") is get_logger("shop")
    for name in ("", 7, None):
        with pytest.raises(OptionError, match="option `name`"):
            shop.child(name)


def test_another_configuration_counts_at_once_for_methods_that_were_taken_before():
    configure(level="warning", handlers=[MEMORY])
    debug = get_logger("app").debug
    debug("not heard")
    configure(level="debug", handlers=[MEMORY])
    debug("heard")
    assert heard() == ["heard"]


def test_levels_can_have_names_of_their_own(path):
    configure(level="notice", levels={"notice": 25}, handlers=[to_file(path, format="{level:>8} {message}")])
    get_logger("app").info("not heard")
    get_logger("app").log("notice", "by name")
    get_logger("app").log(25, "by number")
    flush()
    assert path.read_text() == "  notice by name\n  notice by number\n"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("50 % of it",), "50 % of it"),
        (("%s of %d", "a", 2), "a of 2"),
        (("%(a)s", {"a": 1}), "1"),
        (("%d", "x"), "%d [arguments that do not fit: ('x',)]"),
        (("%s", "a", "b"), "%s [arguments that do not fit: ('a', 'b')]"),
        ((ValueError("no"),), "no"),
        ((7,), "7"),
    ],
)
def test_arguments_are_put_into_the_message_as_the_standard_library_does(args, expected):
    configure(handlers=[MEMORY])
    get_logger("app").info(*args)
    assert heard() == [expected]


def test_a_record_needs_a_message_and_a_level():
    configure(handlers=[MEMORY])
    for method in ("info", "log"):
        with pytest.raises(TypeError, match="misses its"):
            getattr(get_logger("app"), method)()


def test_values_keep_their_types_and_others_are_shown():
    configure(handlers=[MEMORY])
    get_logger("app").info(
        "x", nested={"a": [1, (2, None)], 3: b"bytes"}, large=10**30, path=Path("a/b"), text="grün", bad="\ud800"
    )
    [record] = records()
    assert record.fields == {
        "nested": {"a": [1, [2, None]], "3": "b'bytes'"},
        "large": "1000000000000000000000000000000",
        "path": "PosixPath('a/b')",
        "text": "grün",
        "bad": "\ufffd\ufffd\ufffd",
    }


def test_a_bound_logger_and_a_context_add_fields():
    configure(handlers=[MEMORY])
    log = get_logger("app", app="shop").bind(user="ada", n=1)
    with context(request=7, user="nobody"):
        log.info("a", n=2)
        with context(step="x"):
            get_logger("other").info("b")
    log.info("c")
    fields = [record.fields for record in records()]
    assert fields == [
        {"request": 7, "user": "ada", "app": "shop", "n": 2},
        {"request": 7, "user": "nobody", "step": "x"},
        {"app": "shop", "user": "ada", "n": 1},
    ]
    assert repr(log) == "<Logger app app='shop' user='ada' n=1>"
    assert pickle.loads(pickle.dumps(log)).fields == log.fields


def test_a_context_is_of_its_coroutine():
    configure(handlers=[MEMORY])
    log = get_logger("app")

    async def work(user):
        with context(user=user):
            await asyncio.sleep(0.01)
            log.info("x")
            await asyncio.to_thread(log.info, "y")

    async def main():
        await asyncio.gather(*map(work, "abc"))

    asyncio.run(main())
    for message in "xy":
        users = [record.fields["user"] for record in records() if record.message == message]
        assert sorted(users) == ["a", "b", "c"]


def test_an_exception_comes_with_its_traceback(path):
    configure(handlers=[to_file(path), MEMORY])
    log = get_logger("app")
    try:
        raise ValueError("no")
    except ValueError as error:
        log.exception("failed", n=1)
        log.info("with it", exc_info=True)
        kept = error
    log.warning("later", exc_info=kept)
    log.warning("without", exc_info=False)
    exceptions = [record.exception for record in records()]
    for exception in exceptions[:3]:
        assert exception.startswith("Traceback (most recent call last):\n")
        assert exception.endswith("\nValueError: no")
    assert exceptions[3] is None
    assert "\n  ValueError: no\n" in path.read_text()


def test_stack_info_adds_the_stack_of_who_logs():
    configure(level="info", handlers=[MEMORY])

    def helper():
        get_logger("app").info("here", stack_info=True, password="swordfish")
        get_logger("app").info("above", stack_info=1, stacklevel=2, password="swordfish")
        get_logger("app").info("none", stack_info=False)
        try:
            raise KeyError("no")
        except KeyError:
            get_logger("app").exception("both", stack_info=True)
        get_logger("app").info("far", stack_info=True, stacklevel=10_000)

    helper()  # password=swordfish
    here, above, none, both, far = records()
    assert here.fields == above.fields == {"password": "***"}
    assert none.fields == {}
    assert none.exception is None
    assert here.exception.startswith("Stack (most recent call last):\n  File ")
    assert here.exception.endswith('get_logger("app").info("here", stack_info=True, password="***")')
    # What stands in the source is hidden as all texts are.
    assert above.exception.endswith("helper()  # password=***")
    assert both.exception.startswith("Traceback (most recent call last):")
    traceback, _, stack = both.exception.partition("\nStack (most recent call last):\n")
    assert traceback.endswith("KeyError: 'no'")
    assert "in helper" in stack.splitlines()[-2]
    assert far.exception.startswith("Stack (most recent call last):")
    assert "in helper" not in far.exception


def test_stacklevel_and_extra_mean_what_they_mean_to_the_standard_library():
    configure(handlers=[MEMORY])

    def helper():
        get_logger("app").info("x", stacklevel=2, extra={"a": 1}, b=2)

    helper()
    [record] = records()
    assert record.function == "test_stacklevel_and_extra_mean_what_they_mean_to_the_standard_library"
    assert record.fields == {"a": 1, "b": 2}


def test_secrets_are_hidden_before_any_handler_sees_them(path):
    seen = []

    class Token:
        def __repr__(self):
            return "Token(hunter2)"

    configure(
        handlers=[to_file(path), MEMORY, {"kind": "callable", "call": lambda record: seen.append(record.json())}],
        redact_keys=["^iban$"],
        redact_patterns=["hunter[0-9]+"],
        redact_types=[Token],
    )
    get_logger("app").info(
        "connect to postgres://ada:swordfish@db/shop",
        password="swordfish",
        headers={"Authorization": "Bearer swordfish"},
        iban="swordfish",
        url="https://x.org/?api_key=swordfish&a=1",
        thing=Token(),
        text="hunter2",
    )
    assert flush(timeout=10)
    [record] = records()
    assert record.fields["url"] == "https://x.org/?api_key=***&a=1"
    assert record.fields["thing"] == record.fields["text"] == record.fields["iban"] == "***"
    for text in (path.read_text(), record.text(), *seen):
        assert "swordfish" not in text
        assert "hunter2" not in text
    configure(handlers=[MEMORY], redact=False)
    get_logger("app").info("x", password="swordfish")
    assert records()[0].fields == {"password": "swordfish"}


def test_one_place_may_not_log_too_much():
    configure(handlers=[MEMORY], limit="5/h")
    for number in range(100):
        get_logger("app").info("flood", number=number)
        if number < 2:
            get_logger("app").info("another place")
    assert heard().count("flood") == 5
    assert heard().count("another place") == 2
    assert status().limited == 95
    configure(handlers=[MEMORY])


def test_a_share_is_let_through():
    configure(level="info@0.1", handlers=[MEMORY])
    for _ in range(100):
        get_logger("app").info("often")
        get_logger("app").warning("always")
    assert (heard().count("often"), heard().count("always")) == (10, 100)
    assert status().sampled == 90


def test_functions_can_be_handlers_and_filters():
    got = []
    configure(
        handlers=[{"kind": "callable", "call": got.append, "level": "warning", "filter": "off,shop=trace"}],
        filters=[lambda record: record.fields.get("user") != "bob"],
    )
    for user in ("ada", "bob"):
        get_logger("shop").warning("x", user=user)
        get_logger("shop").info("too low")
        get_logger("app").error("another name")
    assert flush(timeout=10)
    assert [(record.message, record.fields) for record in got] == [("x", {"user": "ada"})]
    assert repr(got[0]) == "<LogRecord warning shop: x>"


def test_memory_keeps_the_last_and_of_one_logger():
    configure(handlers=[{**MEMORY, "records": 3}])
    for number in range(5):
        get_logger("shop" if number % 2 else "shop.mail").info(str(number))
    assert heard() == ["2", "3", "4"]
    assert [record.message for record in records("shop.mail")] == ["2", "4"]


def test_handlers_of_one_file_have_to_rotate_it_alike(path, tmp_path):
    link = tmp_path / "link.log"
    link.symlink_to(path)
    first = to_file(path, name="all", rotate_size="1MB", keep=3)
    for options, option in (
        ({"rotate_size": "2MB"}, "rotate_size"),
        ({"rotate_size": None}, "rotate_size"),
        ({"rotate_every": "1d"}, "rotate_every"),
        ({"keep": 4}, "keep"),
        ({"compress": "gzip"}, "compress"),
    ):
        for other in (path, link):
            second = {**first, "name": "errors", "path": other, **options}
            with pytest.raises(OptionError) as raised:
                configure(handlers=[first, {"kind": "console"}, second])
            words = f"the log handlers 'all' and 'errors' write {other}, and differ in `{option}`"
            assert str(raised.value).startswith(words)
    configuration = f"""
        [[handlers]]
        kind = "file"
        name = "all"
        path = "{path}"
        rotate_every = "1d"

        [[handlers]]
        kind = "file"
        name = "errors"
        path = "{path}"
        rotate_every = "1h"
    """
    (tmp_path / "logging.toml").write_text(configuration)
    with pytest.raises(OptionError, match=r"'all' and 'errors' write .* differ in `rotate_every`"):
        lineshaft.logging.configure_from(tmp_path / "logging.toml")
    configure(handlers=[first, {**first, "name": "errors", "level": "error", "format": "json"}])
    # Without a rotation the others say nothing.
    plain = {"kind": "file", "path": path}
    configure(handlers=[{**plain, "name": "a", "keep": 3}, {**plain, "name": "b", "compress": "gzip"}])


def test_files_are_rotated_and_compressed(path):
    import gzip

    configure(handlers=[to_file(path, format="{message}", rotate_size="1KB", keep=2, compress="gzip")])
    for number in range(100):
        get_logger("app").info("%099d", number)
        flush()
    assert {each.name for each in path.parent.iterdir()} == {"app.log", "app.log.1.gz", "app.log.2.gz"}
    lines = gzip.decompress((path.parent / "app.log.1.gz").read_bytes()).splitlines()
    assert [len(line) for line in lines] == [99] * 10
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_template_is_ones_own_form(path):
    form = "{level:<8}|{logger}|{message}|{fields}|{fields.ms}|{function}"
    configure(handlers=[to_file(path, format=form)])
    get_logger("app").info("sent", to="a b", ms=3)
    flush()
    assert path.read_text() == 'info    |app|sent|to="a b" ms=3|3|test_a_template_is_ones_own_form\n'


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": "info,shop=loud"}, 'directive "shop=loud" at character 6: "loud" is no level'),
        ({"level": None}, "option `level`"),
        ({"handlers": [{"kind": "pigeon"}]}, "option `kind`: 'pigeon' is not accepted"),
        ({"handlers": [{"kind": "file"}]}, "option `path`"),
        ({"handlers": [{"kind": "console", "format": "{nothing}"}]}, '"nothing" is nothing that a record has'),
        ({"handlers": [{"kind": "console", "level": "loud"}]}, '"loud" is no level'),
        ({"handlers": [MEMORY, MEMORY]}, "two log handlers are called 'memory'"),
        ({"limit": "many"}, "option `limit`"),
        ({"redact_patterns": ["("]}, 'option `redact_patterns`: pattern "(": '),
        ({"when_full": "panic"}, "option `when_full`"),
        ({"filters": [3]}, "option `filters`"),
        ({"levels": {"1st": 3}}, 'option `levels`: "1st" is no name of a level'),
        ({"levels": {"notice": "high"}}, "option `levels`"),
        ({"levels": 3}, "option `levels`"),
        ({"handlers": 3}, "option `handlers`"),
        ({"handlers": {"kind": "memory"}}, "option `handlers`"),
        ({"filters": 3}, "option `filters`"),
        ({"redact_types": 3}, "option `redact_types`"),
        ({"redact_keys": ["("]}, 'option `redact_keys`: pattern "(": '),
        ({"show_locals": "yes"}, "option `show_locals`"),
        ({"handlers": [{"kind": "memory", "filter": "x=loud"}]}, "option `filter`"),
        ({"buffer_size": "much"}, "much"),
    ],
)
def test_what_does_not_read_is_refused_and_changes_nothing(options, words):
    configure(handlers=[MEMORY])
    get_logger("app").info("before")
    with pytest.raises(OptionError, match=re.escape(words)):
        configure(**options)
    get_logger("app").info("after")
    assert heard() == ["before", "after"]


def test_an_unknown_option_of_a_handler_is_named(tmp_path):
    with pytest.raises(UnknownOption, match="has no option `pth`: did you mean `path`"):
        configure(handlers=[{"kind": "file", "pth": "x"}])
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file/app\.log"):
        configure(handlers=[to_file(tmp_path / "file" / "app.log")])


def test_a_file_configures_and_is_read_again(tmp_path, path):
    found = tmp_path / "logging.toml"
    text = """
        level = "{level}"
        [[handlers]]
        kind = "file"
        path = "{path}"
        format = "{{message}}"
        [[handlers]]
        kind = "callable"
        call = "test_logging:collect"
    """
    found.write_text(text.format(level="warning", path=path))
    COLLECTED.clear()
    configure_from(found)
    get_logger("app").info("not heard")
    found.write_text(
        "[tool.lineshaft.logging]" + text.format(level="info", path=path).replace("[[", "[[tool.lineshaft.logging.")
    )
    reload()
    get_logger("app").info("heard")
    found.write_text("nothing = 3")
    with pytest.raises(UnknownOption, match="has no option `nothing`"):
        reload()
    get_logger("app").info("still heard")
    assert flush(timeout=10)
    assert path.read_text() == "heard\nstill heard\n"
    assert COLLECTED == ["heard", "still heard"]


COLLECTED: list[str] = []


def collect(record):
    """What the file above names."""
    COLLECTED.append(record.message)


def test_threads_have_their_names():
    configure(handlers=[MEMORY])
    thread = threading.Thread(target=lambda: get_logger("app").info("x"), name="worker-7")
    thread.start()
    thread.join()
    [record] = records()
    assert (record.thread, record.thread_id) == ("worker-7", thread.ident)


def test_loggers_are_found_by_their_names():
    assert get_logger("a.b") is get_logger("a.b") is lineshaft.get_logger("a.b")
    assert isinstance(get_logger(), Logger)
    assert lineshaft.logging.get_logger is get_logger
    assert repr(get_logger()) == "<Logger root>"


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe") as error:
        configure(handlers=[to_file(tmp_path / "pipe")])
    assert error.value.errno == errno.ENXIO


def test_a_thread_that_is_renamed_has_its_new_name():
    configure(level="info", handlers=[MEMORY])

    def work():
        get_logger("app").info("before")
        threading.current_thread().name = "renamed"
        get_logger("app").info("after")

    thread = threading.Thread(target=work, name="first")
    thread.start()
    thread.join()
    assert [record.thread for record in records()] == ["first", "renamed"]


def test_instances_are_hidden_in_messages_and_their_arguments():
    class Token:
        def __str__(self):
            return "swordfish"

        __repr__ = __str__

    configure(level="info", handlers=[MEMORY], redact_types=[Token], capture_stdlib=True)
    try:
        for logger in (get_logger("app"), logging.getLogger("app")):
            logger.info("%s and %r of %s", Token(), {"a": [Token()]}, "ada")
            logger.info("%(token)s", {"token": Token()})
            logger.info(Token())
        cyclic = []
        cyclic += [cyclic] * 10
        get_logger("app").info("%s", cyclic)
        *messages, last = heard()
    finally:
        configure(capture_stdlib=False, handlers=[])
    assert messages == ["*** and {'a': ['***']} of ada", "***", "***"] * 2
    assert "…" in last


def test_many_fields_take_no_time_that_grows_with_their_square():
    configure(level="info", handlers=[MEMORY], record_size="64MiB")
    extra = {f"name{number}": number for number in range(50_000)}
    with context(**{f"name{number}": -1 for number in range(0, 100_000, 2)}):
        get_logger("app").info("many", extra=extra, name7="last")
    [record] = records()
    assert len(record.fields) == 75_000
    assert (record.fields["name7"], record.fields["name8"], record.fields["name99998"]) == ("last", 8, -1)


def test_instances_are_hidden_in_all_collections():
    class Token:
        def __repr__(self):
            return "swordfish"

    class Named(dict):
        pass

    configure(level="info", handlers=[MEMORY], redact_types=[Token])
    token = Token()
    one = (token,)
    given = [{token}, frozenset(one), deque(one), Named(a=token), OrderedDict(a=token), {token: 1}, {one: 1}]
    for each in [*given, {1, 2}, OrderedDict(a=1)]:
        get_logger("app").info("%s", each, field=each)
    shown = [(record.message, str(record.fields["field"])) for record in records()]
    assert "swordfish" not in str(shown)
    assert all("***" in message and "***" in field for message, field in shown[: len(given)])
    assert shown[0] == ("{'***'}", "{'***'}")
    assert shown[-2:] == [(str({1, 2}),) * 2, (str(OrderedDict(a=1)),) * 2]


def test_a_path_may_have_bytes_that_are_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"app-\xff.log")
    configure(level="info", handlers=[to_file(path, format="{message}")])
    get_logger("app").info("written")
    assert flush(timeout=10)
    assert path.read_text() == "written\n"
    assert status().handlers[0].name == str(tmp_path / "app-?.log")

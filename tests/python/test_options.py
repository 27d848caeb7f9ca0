"""The page of the options is complete, and what it says of forms and defaults is so."""

from __future__ import annotations

import ast
import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

import lineshaft
from lineshaft import _options, _template

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "options.md").read_text()
TABLES = {"task": _options.TASK_OPTIONS, "group": _options.GROUP_OPTIONS, "call": _options.CALL_OPTIONS}
ROWS = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| .* \| `([^`]+)` \| (.*) \| .* \|$", PAGE, re.MULTILINE)
COMMAND = shlex.split(
    re.search(r"^\$ lineshaft (enqueue .*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)[1].replace("\\\n", "")
)


def test_every_option_has_a_row_that_says_where_it_stands():
    places = {option: [place for place, table in TABLES.items() if option in table] for option in _options.TASK_OPTIONS}
    places |= {option: ["call"] for option in _options.CALL_OPTIONS if option not in places}
    assert {option: said.split(", ") for option, said, _, _ in ROWS} == places
    assert len(ROWS) == len(places)


def test_annotations_name_the_options_that_exist():
    """Type checkers see these, the program sees the tables."""
    for table, typed in (
        (_options.TASK_OPTIONS, _options.TaskOptions),
        (_options.GROUP_OPTIONS, _options.GroupOptions),
        (_options.CALL_OPTIONS, _options.CallOptions),
    ):
        assert set(table) == typed.__required_keys__ | typed.__optional_keys__


@pytest.mark.parametrize(("option", "places", "form"), [row[:3] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_form_is_one_that_the_option_takes(option, places, form):
    names = {name: getattr(lineshaft, name) for name in ("Retry", "Unique")}
    given = eval(f"dict({form})", names)
    assert list(given) == [option]
    for place in places.split(", "):
        assert _options.checked(given, TABLES[place], "the page").keys() == {option}


def test_what_says_the_defaults_is_as_what_says_nothing(home, monkeypatch):
    defaults = {option: said.split("`")[1] for option, places, _, said in ROWS if "call" in places}
    assert len(defaults) > 10
    said = {option: ast.literal_eval(default) for option, default in defaults.items()}
    monkeypatch.setattr(_template, "_native", SimpleNamespace(Template=dict, Rules=dict))
    app = lineshaft.App(home)
    checked = _options.checked(said, _options.CALL_OPTIONS, "the page")
    assert _template.template_of(app, "mail.send", 1, checked) == _template.template_of(app, "mail.send", 1, {})


def test_rust_has_the_options_of_the_page():
    source = (ROOT / "crates/lineshaft-macros/src/options.rs").read_text()
    names = set(re.findall(r'"(\w+)"', re.search(r"const NAMES.*?= \[(.*?)\];", source, re.DOTALL)[1]))
    program = re.search(r"^```rust\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]
    declared = "".join(re.findall(r"^#\[lineshaft::task\((.*?)^\)\]$", program, re.MULTILINE | re.DOTALL))
    assert set(re.findall(r"^    (\w+)(?: =|\()", declared, re.MULTILINE)) == names
    assert {option for option, places, _, _ in ROWS if "task" in places} - names == {
        "validate",
        "expected",
        "memory",
    }

    builder = (ROOT / "crates/lineshaft/src/task/call.rs").read_text()
    methods = set(re.findall(r"pub fn (\w+)[^(]*\(mut self", builder))
    assert set(re.findall(r"^    \.(\w+)\(", program, re.MULTILINE)) == methods


def test_the_command_line_has_the_options_of_the_page(programs):
    help_text = programs.run("-m", "lineshaft", "enqueue", "--help").stdout
    flags = set(re.findall(r"^ +(--[\w-]+)", help_text.split("Options of every command")[0], re.MULTILINE))
    assert {word for word in COMMAND if word.startswith("--")} == flags - {"--kwargs", "--wait", "--help"}

    shown = dict(re.findall(r"^ +--([\w-]+) (?:(?!^ +--).)*?\[else: (\w+)\]", help_text, re.MULTILINE | re.DOTALL))
    defaults = {option: said.split("`")[1].strip('"') for option, _, _, said in ROWS if option in shown}
    assert defaults == {option: shown[option] for option in defaults}
    assert defaults.keys() == {"queue", "priority", "retries", "timeout", "delivery"}


def test_the_command_of_the_page_makes_the_job_that_it_says(programs):
    made = programs.run("-m", "lineshaft", *COMMAND)
    assert made.returncode == 0, made.stderr
    job = json.loads(programs.run("-m", "lineshaft", "job", "show", made.stdout.strip(), "--json").stdout)
    assert (job["task"], job["queue"], job["priority"], job["max_attempts"]) == ("mail.send", "mail", 2, 4)
    assert (job["tags"], job["metadata"]) == (["welcome"], "order 7")

"""Writes docs/reference/python.md from the signatures and docstrings of the package: `make docs`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import lineshaft
from lineshaft import _errors, testing

PAGE = Path(__file__).with_name("python.md")
OPENING = """# Python

```python
# run: python names.py
import lineshaft

print([name for name in ("App", "Job", "Retry", "TaskFailed") if name in lineshaft.__all__])
```

```text
['App', 'Job', 'Retry', 'TaskFailed']
```

Everything public of `import lineshaft`, generated from its docstrings by `make docs`. Behind a verb stands
its twin for coroutines.
"""
MADE = {"App", "Executor", "Pool", "Tasks", "Unique", "Retry", "Snooze", "Cancel"}
"""What users make; other objects are given to them."""
LIKE = {"AsyncTask": "Task", "Using": "Task", "AsyncJob": "Job"}
FACE = [
    "App",
    "Task",
    "AsyncTask",
    "Using",
    "Job",
    "AsyncJob",
    "current",
    "Call",
    "Unique",
    "Retry",
    "Snooze",
    "Cancel",
]


def page() -> str:
    """The whole page."""
    names = [name for name in lineshaft.__all__ if not name.startswith("__")]
    errors = [name for name in names if is_error(getattr(lineshaft, name)) and name not in FACE]
    others = sorted(set(names) - set(FACE) - set(errors))
    sections = [section(name) for name in [*FACE, *others]]
    return "\n".join([OPENING, *sections, exceptions(errors), tests()])


def is_error(thing: Any) -> bool:
    """Whether it is an exception class."""
    return isinstance(thing, type) and issubclass(thing, BaseException)


def section(name: str, module: Any = lineshaft) -> str:
    """One public name, and what it has."""
    thing = getattr(module, name)
    if inspect.isfunction(thing):
        return f"## `{name}{signature(thing)}`\n\n{doc(thing)}\n"
    cls = thing if isinstance(thing, type) else type(thing)
    made = f"{name}{signature(cls)}" if name in MADE else name
    if name in LIKE:
        return f"## `{made}`\n\n{doc(cls)}\n\nIt has what a `{LIKE[name]}` has.\n"
    fields = [f"### `{field}`\n\n{text}\n" if text else f"### `{field}`\n" for field, text in fields_of(cls).items()]
    members = [member(*each) for each in members_of(cls)]
    return "\n".join([f"## `{made}`\n", f"{doc(cls)}\n", *fields, *members])


def fields_of(cls: type) -> dict[str, str]:
    """What stands below the fields of a class whose fields are its constructor's; Python itself does not keep that."""
    if not (hasattr(cls, "_fields") or hasattr(cls, "__dataclass_fields__")):
        return {}
    fields = {}
    body = classes()[cls.__name__].body
    for field, behind in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not field.target.id.startswith("_"):
            is_text = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
            fields[ast.unparse(field).partition(" = ")[0]] = inspect.cleandoc(behind.value.value) if is_text else ""
    return fields


@cache
def classes() -> dict[str, ast.ClassDef]:
    """All that are written in the package, by their names; what is public says that it is of `lineshaft` itself."""
    files = Path(lineshaft.__file__).parent.rglob("*.py")
    written = (each for file in files for each in ast.parse(file.read_text()).body)
    return {each.name: each for each in written if isinstance(each, ast.ClassDef)}


def members_of(cls: type) -> Iterator[tuple[str, Any, str]]:
    """Public methods and properties, those of its own base classes too, as they are written; each with its twin."""
    seen = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == "lineshaft":
            seen.update(vars(base))
    # Rust gives its members in no particular order.
    is_native = any(map(inspect.isgetsetdescriptor, seen.values()))
    for key, value in sorted(seen.items()) if is_native else seen.items():
        value = inspect.unwrap(value) if callable(value) else value
        is_public = not key.startswith("_") and (inspect.isdatadescriptor(value) or callable(value))
        is_twin = key.startswith("a") and key[1:].rstrip("_") in seen
        is_field = key in getattr(cls, "_fields", ())
        if is_public and not (is_twin or is_field) and inspect.getdoc(value):
            yield key, value, next((f" · `{twin}`" for twin in (f"a{key}", f"a{key}_") if twin in seen), "")


def member(name: str, value: Any, twin: str) -> str:
    """A method with its signature and its twin, a property by its name."""
    shown = name if inspect.isdatadescriptor(value) else f"{name}{signature(value)}"
    return f"### `{shown}`{twin}\n\n{doc(value)}\n"


def signature(thing: Any) -> str:
    """Without `self` and what a reader knows anyway; empty where Python does not tell."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    kept = [each.replace(annotation=each.empty) for each in found.parameters.values() if each.name != "self"]
    shown = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", str(inspect.Signature(kept)))
    return re.sub(r"<.*? object at 0x[0-9a-f]+>", "...", shown)


def doc(thing: Any) -> str:
    """The docstring as Markdown."""
    text = inspect.getdoc(thing) or ""
    return re.sub(r"^(.*)::$", r"\1:", text, flags=re.MULTILINE).replace("``", "`")


def tests() -> str:
    """`lineshaft.testing`, a level below the others."""
    found = [section(name, testing).replace("\n##", "\n###") for name in testing.__all__]
    return "\n".join([f"## `lineshaft.testing`\n\n{doc(testing)}\n", *(f"#{text}" for text in found)])


def exceptions(names: list[str]) -> str:
    """The tree, and one line for each."""
    tree = (_errors.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    rows = [f"| `{name}` | {doc(getattr(lineshaft, name)).splitlines()[0]} |" for name in names]
    lines = ["## Exceptions\n", f"```text\n{inspect.cleandoc(tree)}\n```\n", "| class | meaning |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(PAGE.read_text() != page())
    PAGE.write_text(page())

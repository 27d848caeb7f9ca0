"""Mistakes with queues."""

from __future__ import annotations

from lineshaft.multiprocessing import Lock, Queue

numbers: Queue[int] = Queue()
numbers.put("one")  # error: mypy[arg-type] pyright[reportArgumentType]
numbers.put_many(["one"])  # error: mypy[list-item] pyright[reportArgumentType]
text: str = numbers.get()  # error: mypy[assignment] pyright[reportAssignmentType]
Queue(room=1.5)  # error: mypy[arg-type] pyright[reportArgumentType]
Lock().acquire(timeout="1s")  # error: mypy[arg-type] pyright[reportArgumentType]

"""What other processes do with queues in `test_multiprocessing_*.py`: importable, so that they can be spawned."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass


class Colour(enum.Enum):
    RED = 1


@dataclass
class Order:
    number: int
    colour: Colour


class Unreadable(Exception):
    """One whose pickle cannot be read: it is made with two arguments and says one."""

    def __init__(self, one, two):
        super().__init__(one)


class Unsayable(Exception):
    """One that cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError("not this one")


def echo(questions, answers):
    """Answers everything with itself, until there are no more questions."""
    for question in questions:
        answers.put(question)
        questions.task_done()


def get_for_ever(queue, others):
    """A consumer as one first writes it."""
    while True:
        others.put((os.getpid(), queue.get()))
        queue.task_done()


def put_numbers(queue, first, count):
    for number in range(first, first + count):
        queue.put(number)


def put_many_numbers(queue, first, count):
    assert queue.put_many(range(first, first + count)) == count


def put_for_ever(queue, text):
    number = 0
    while True:
        queue.put((number, text))
        number += 1


def say_and_get(said, queue):
    said.put(os.getpid())
    queue.get()


def put_arrays(queue, count):
    import numpy

    for number in range(count):
        queue.put({"number": number, "array": numpy.full(40_000, number)})


def keep_what_was_got(queue, said):
    """Gets a large object, and has it when it is killed."""
    view = queue.get()
    said.put(len(view))
    queue.get()

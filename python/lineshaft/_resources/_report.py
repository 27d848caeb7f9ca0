"""What a pool of resources says of itself: numbers, and who has what for how long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .._errors import ResourceTimeout

if TYPE_CHECKING:
    from ._ledger import Ledger, Place

__all__ = ["Counts", "Holder", "ResourcePoolInfo", "holder_of", "info_of", "too_late"]

NAMED_MAX = 8
"""How many holders an error names."""


class Counts:
    """What has happened so far."""

    __slots__ = ("closed", "loans", "opened", "timeouts", "waited_s", "waits")

    def __init__(self) -> None:
        self.opened = self.closed = self.loans = self.waits = self.timeouts = 0
        self.waited_s = 0.0


class ResourcePoolInfo(NamedTuple):
    """The numbers of a pool of resources."""

    max: int
    """How many there may be."""
    lent: int
    """How many are lent now, or being opened or closed."""
    resting: int
    """How many are open and lent to nobody."""
    waiting: int
    """How many wait for one."""
    opened: int
    """How many were opened so far."""
    closed: int
    """How many were closed so far: broken ones, those that rested too long, and all at the end."""
    loans: int
    """How many loans there were."""
    waits: int
    """How many of them had to wait."""
    waited_s: float
    """How long they waited together, in seconds."""
    timeouts: int
    """How many waited in vain."""


class Holder(NamedTuple):
    """Somebody to whom something is lent."""

    who: str
    """The job, the task of the event loop, or the thread."""
    seconds: float
    """How long it is lent."""
    where: str
    """File and line of the `get()`."""

    def __str__(self) -> str:
        return f"{self.who} for {self.seconds:.1f} s ({self.where})"


def holder_of(place: Place[Any]) -> Holder:
    """In words."""
    who = place.task or next((one.name for one in threading.enumerate() if one.ident == place.thread), "a thread")
    if place.attempt is not None:
        who = f"job {place.attempt.id}, {who}"
    return Holder(who, time.monotonic() - place.since, f"{place.code.co_filename}:{place.line}")


def info_of(ledger: Ledger[Any]) -> ResourcePoolInfo:
    """As it is now."""
    counts = ledger.counts
    return ResourcePoolInfo(
        max=ledger.max,
        lent=len(ledger.given),
        resting=len(ledger.resting),
        waiting=len(ledger.waiting),
        opened=counts.opened,
        closed=counts.closed,
        loans=counts.loans,
        waits=counts.waits,
        waited_s=counts.waited_s,
        timeouts=counts.timeouts,
    )


def too_late(what: str, ledger: Ledger[Any]) -> ResourceTimeout:
    """The error of a wait that ended first; names who has what."""
    holders = [holder_of(place) for place in ledger.holders()]
    named = [str(holder) for holder in holders[:NAMED_MAX]]
    more = f" and {len(holders) - NAMED_MAX} more" if len(holders) > NAMED_MAX else ""
    return ResourceTimeout(f"{what}: {len(holders)} of {ledger.max} are lent: {', '.join(named)}{more}")


Holder.__module__ = ResourcePoolInfo.__module__ = "lineshaft"

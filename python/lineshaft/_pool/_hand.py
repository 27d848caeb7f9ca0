"""What a crew knows of its workers, whether they are processes or threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .. import _native
    from ._agenda import Share
    from ._report import Report

__all__ = ["Hand", "Workers"]


class Hand(ABC):
    """A worker."""

    def __init__(self, number: int, claims: _native.Claims) -> None:
        self.number = number
        self.claims = claims
        self.is_ready = False
        self.is_leaving = False

    @property
    @abstractmethod
    def member(self) -> Any:
        """Its process or thread."""

    @abstractmethod
    def start(self) -> None:
        """Has it begin. If this raises, nothing of it is left."""

    @abstractmethod
    def pack(self, share: Share) -> Any:
        """What it is given of a share. Called without the lock of its crew, since it may call code of the program."""

    @abstractmethod
    def give(self, share: Share, packed: Any) -> int:
        """Gives it a share; how many bytes that are. If this raises, it has not got it."""

    @abstractmethod
    def let_go(self, slot: int) -> None:
        """It is through with the share in this slot."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Looks after it, and whether it lives."""

    @abstractmethod
    def bury(self) -> tuple[int | None, str]:
        """Lets go of one that has ended: its exit code, and in words how it did."""

    @abstractmethod
    def kill(self) -> bool:
        """Ends it whatever it does, if that can be."""

    @abstractmethod
    def leave(self) -> None:
        """It gets nothing more, and ends when it is through."""


class Workers(ABC):
    """Workers of one kind: how they begin and end, and what they say."""

    encodes: bool
    """Whether to pack a share may call code of the program."""

    @abstractmethod
    def context(self) -> Any:
        """What goes along with a call from the thread that gives it, which calls this."""

    @abstractmethod
    def encode(self, function: Callable[..., Any]) -> Any:
        """The function as it goes to them."""

    @abstractmethod
    def make(self, number: int) -> Hand:
        """A worker that is yet to be started."""

    @abstractmethod
    def reports(self, timeout: float) -> list[Report]:
        """What they have said, as soon as there is something; nothing after so many seconds."""

    @abstractmethod
    def poke(self) -> None:
        """Has `reports` return."""

    @abstractmethod
    def end(self, hands: Sequence[Hand]) -> None:
        """Ends them now; threads when they are done with what they have begun."""

    @abstractmethod
    def join(self, hands: Sequence[Hand], timeout: float | None) -> None:
        """Waits until those have ended that were."""

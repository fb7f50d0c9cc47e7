"""Concurrency slots for the parts of a node that work at the same time, such as the tool calls of one message.

A node that starts such parts lends its own slot for as long, and each part takes one.  A part that runs a graph
lends its slot in turn, not the node's: whoever waits holds no slot, so that even a single one is enough.
"""

from __future__ import annotations

import contextvars
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._task import Attempt


class PartSlot:
    """The slot of one part of an attempt.

    Args:
        attempt: the attempt it is a part of.
    """

    __slots__ = ("_attempt", "_held", "_lent", "_over")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._held = False
        self._lent = 0
        self._over = False

    def belongs_to(self, attempt: Attempt) -> bool:
        """Whether it is a slot of a part of this very attempt, and not of one around it."""
        return self._attempt is attempt

    async def take(self) -> None:
        """Wait for a slot, if the run has such."""
        self._held = await self._attempt.task.run.acquire_slot()

    def give_back(self) -> None:
        """The part has ended, or will never begin; any number of times."""
        self._over = True
        self._release()

    def lend_slot(self) -> None:
        """Give the slot back while the part waits for runs of its own."""
        self._lent += 1
        self._release()

    async def regain_slot(self) -> None:
        """Take a slot again once no run of the part's own is left."""
        self._lent -= 1
        if self._lent == 0 and not self._over:
            await self.take()

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._attempt.task.run.release_slot()


_part: ContextVar[PartSlot | None] = ContextVar("penstock_part_slot", default=None)


def use_part_slot(slot: PartSlot) -> None:
    """Code of the calling context belongs to this part from now on."""
    _part.set(slot)


def slot_holder(attempt: Attempt, context: contextvars.Context) -> Attempt | PartSlot:
    """Who lends a slot when code in a context of an attempt waits for runs of its own."""
    slot = context.get(_part)
    return slot if slot is not None and slot.belongs_to(attempt) else attempt

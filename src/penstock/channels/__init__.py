"""State channels: how the writes of one superstep become the next value of a key.

A channel is a pure rule without a value of its own; the run keeps the values in one plain dict.  Annotate a key
with a reducer function (`Annotated[list, operator.add]`) or with one of these channels.
"""

from __future__ import annotations

from ._channel import MISSING, Channel, Missing
from ._kinds import AnyValue, BinaryOperatorAggregate, EphemeralValue, LastValue, Topic, UntrackedValue
from ._reduce import reduce_writes

__all__ = [
    "MISSING",
    "AnyValue",
    "BinaryOperatorAggregate",
    "Channel",
    "EphemeralValue",
    "LastValue",
    "Missing",
    "Topic",
    "UntrackedValue",
    "reduce_writes",
]

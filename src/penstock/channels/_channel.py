"""What every channel promises."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Generic, Literal, TypeVar

V = TypeVar("V")


class Missing(enum.Enum):
    """Type of `MISSING`, the mark of a key that has no value yet."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING


class Channel(ABC, Generic[V]):
    """The rule by which one key of the state takes the writes of a superstep.

    A subclass is immutable and shared by all runs; it must not keep a value.

    Args:
        typ: type of the key's value.

    Example:
        ```python
        from penstock.channels import MISSING, Channel

        class Longest(Channel[str]):
            def reduce(self, current, writes):
                return max([*writes, "" if current is MISSING else current], key=len)

        assert Longest(str).reduce("abc", ["a", "abcd"]) == "abcd"
        ```
    """

    __slots__ = ("typ",)

    def __init__(self, typ: Any) -> None:
        self.typ: Any = typ

    def initial(self) -> V | Missing:
        """The value before the first write; `MISSING` if the key is absent until then."""
        return MISSING

    @abstractmethod
    def reduce(self, current: V | Missing, writes: Sequence[Any]) -> V:
        """The value after a superstep that wrote `writes` (at least one), in task order.

        Raises:
            InvalidUpdateError: the channel cannot take these writes; the caller adds the key and the nodes.
        """

    def carry(self, current: V) -> V | Missing:
        """The value after a superstep that did not write this key; `MISSING` forgets it."""
        return current

    @property
    def forgets(self) -> bool:
        """Whether `carry` ever changes a value, so that steps need not ask the channels that never do."""
        return type(self).carry is not Channel.carry

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((type(self), repr(self.typ)))

    def _identity(self) -> tuple[Any, ...]:
        return (self.typ,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self.typ, '__name__', self.typ)})"

"""The channels that come with the library."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, get_origin

from ..errors import InvalidUpdateError
from ..types import Overwrite
from ._channel import MISSING, Channel, Missing

V = TypeVar("V")

# An abstract collection cannot be instantiated; its plain counterpart starts a reducer off.
_CONCRETE: dict[Any, Callable[[], Any]] = {
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}


class LastValue(Channel[V]):
    """Keeps the one value written in a superstep; two writes in one superstep are an error.

    The channel of every key without a reducer.
    """

    __slots__ = ()

    def reduce(self, current: V | Missing, writes: Sequence[Any]) -> V:
        if len(writes) != 1:
            raise InvalidUpdateError(
                f"got {len(writes)} values in one superstep, but keeps only one; annotate the key with a reducer, "
                "such as Annotated[list, operator.add], to combine them"
            )
        value = writes[0]
        return value.value if type(value) is Overwrite else value  # type: ignore[no-any-return]


class AnyValue(Channel[V]):
    """Keeps the last of the values written in a superstep, for writers that all write the same."""

    __slots__ = ()

    def reduce(self, current: V | Missing, writes: Sequence[Any]) -> V:
        value = writes[-1]
        return value.value if type(value) is Overwrite else value  # type: ignore[no-any-return]


class UntrackedValue(AnyValue[V]):
    """Like `AnyValue`, for values that saved state leaves out (open connections, caches).

    Args:
        typ: type of the value.
        guard: allow only one write per superstep.
    """

    __slots__ = ("guard",)

    def __init__(self, typ: Any, guard: bool = True) -> None:
        super().__init__(typ)
        self.guard: bool = guard

    def reduce(self, current: V | Missing, writes: Sequence[Any]) -> V:
        if self.guard and len(writes) != 1:
            raise InvalidUpdateError(f"got {len(writes)} values in one superstep, but keeps only one")
        return super().reduce(current, writes)

    def _identity(self) -> tuple[Any, ...]:
        return (self.typ, self.guard)


class EphemeralValue(UntrackedValue[V]):
    """A value that lives for the one superstep after it was written."""

    __slots__ = ()

    def carry(self, current: V) -> V | Missing:
        return MISSING


class Topic(Channel[list[Any]]):
    """Collects everything written to it into a list, absent while that is empty; a list that is written adds its items.

    Args:
        typ: type of one item.
        accumulate: keep the items of earlier supersteps, too.
    """

    __slots__ = ("accumulate",)

    def __init__(self, typ: Any, accumulate: bool = False) -> None:
        super().__init__(typ)
        self.accumulate: bool = accumulate

    def reduce(self, current: list[Any] | Missing, writes: Sequence[Any]) -> list[Any]:
        items = list(current) if self.accumulate and current is not MISSING else []
        for write in writes:
            if type(write) is Overwrite:
                items = list(write.value)
            elif isinstance(write, list):
                items.extend(write)
            else:
                items.append(write)
        return items

    def carry(self, current: list[Any]) -> list[Any] | Missing:
        return current if self.accumulate else MISSING

    def _identity(self) -> tuple[Any, ...]:
        return (self.typ, self.accumulate)


class BinaryOperatorAggregate(Channel[V], Generic[V]):
    """Folds every write into the value with a reducer: `value = operator(value, write)`.

    Starts at `typ()` where that works, else with the first write.

    Args:
        typ: type of the value; its empty instance is the starting point.
        operator: takes the value and one write, returns the new value.

    Example:
        ```python
        import operator

        from penstock.channels import BinaryOperatorAggregate

        total = BinaryOperatorAggregate(int, operator.add)
        assert total.reduce(total.initial(), [1, 2, 3]) == 6
        ```
    """

    __slots__ = ("_start", "operator")

    def __init__(self, typ: Any, operator: Callable[[V, Any], V]) -> None:
        super().__init__(typ)
        self.operator: Callable[[V, Any], V] = operator
        start: Callable[[], Any] = get_origin(typ) or typ
        self._start: Callable[[], Any] = _CONCRETE.get(start, start)

    def initial(self) -> V | Missing:
        try:
            return self._start()  # type: ignore[no-any-return]
        except Exception:  # a type that cannot be made from nothing: Union, Protocol, required fields
            return MISSING

    def reduce(self, current: V | Missing, writes: Sequence[Any]) -> V:
        if any(type(w) is Overwrite for w in writes):
            return self._overwritten(writes)
        value: Any = current
        fold = self.operator
        for write in writes:
            value = write if value is MISSING else fold(value, write)
        return value  # type: ignore[no-any-return]

    def _overwritten(self, writes: Sequence[Any]) -> V:
        new = [w.value for w in writes if type(w) is Overwrite]
        if len(new) != 1:
            raise InvalidUpdateError(
                f"got {len(new)} Overwrite values in one superstep, but only one can replace the value"
            )
        return new[0]  # type: ignore[no-any-return]

    def _identity(self) -> tuple[Any, ...]:
        return (self.typ, self.operator)

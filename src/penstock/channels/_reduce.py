"""Applying the writes of one superstep: pure, so that it can be tested against a naive model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InvalidUpdateError, add_note
from ._channel import MISSING, Channel
from ._kinds import LastValue


def reduce_writes(
    channels: Mapping[str, Channel[Any]],
    values: Mapping[str, Any],
    writes: Iterable[tuple[str, str, Any]],
) -> dict[str, Any]:
    """The new value of every key that `writes` touches.

    Args:
        channels: the channel of each key.
        values: the values before; not changed.
        writes: `(node, key, value)` in task order.

    Raises:
        InvalidUpdateError: a channel refused its writes; says the key and the nodes.

    Example:
        ```python
        import operator

        from penstock.channels import BinaryOperatorAggregate, reduce_writes

        log = BinaryOperatorAggregate(list, operator.add)
        assert reduce_writes({"log": log}, {"log": ["a"]}, [("n", "log", ["b"])]) == {"log": ["a", "b"]}
        ```
    """
    writes = list(writes)
    grouped: dict[str, list[Any]] = {}
    for _, key, value in writes:
        if key in grouped:
            grouped[key].append(value)
        else:
            grouped[key] = [value]
    changes: dict[str, Any] = {}
    for key, written in grouped.items():
        try:
            changes[key] = channels[key].reduce(values.get(key, MISSING), written)
        except InvalidUpdateError as error:
            names = ", ".join(map(repr, dict.fromkeys(_writers(writes, key))))
            raise InvalidUpdateError(f"key {key!r}, written by {names}: {error}") from None
        except Exception as error:  # a reducer of the user's
            names = ", ".join(map(repr, _writers(writes, key)))
            add_note(error, f"While key {key!r} was reduced, written by {names}")
            raise
    return changes


def _writers(writes: Iterable[tuple[str, str, Any]], key: str) -> list[str]:
    return [node for node, written, _ in writes if written == key]


def is_plain(channel: Channel[Any]) -> bool:
    """Whether a channel only replaces its value, so that a lone write needs no reducing."""
    return type(channel) is LastValue

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
    grouped: dict[str, list[Any]] = {}
    writers: dict[str, list[str]] = {}
    for node, key, value in writes:
        if key in grouped:
            grouped[key].append(value)
            writers[key].append(node)
        else:
            grouped[key] = [value]
            writers[key] = [node]
    changes: dict[str, Any] = {}
    for key, written in grouped.items():
        try:
            changes[key] = channels[key].reduce(values.get(key, MISSING), written)
        except InvalidUpdateError as error:
            names = ", ".join(repr(n) for n in dict.fromkeys(writers[key]))
            raise InvalidUpdateError(f"key {key!r}, written by {names}: {error}") from None
        except Exception as error:  # a reducer of the user's
            add_note(error, f"While key {key!r} was reduced, written by {', '.join(map(repr, writers[key]))}")
            raise
    return changes


def is_plain(channel: Channel[Any]) -> bool:
    """Whether a channel only replaces its value, so that a lone write needs no reducing."""
    return type(channel) is LastValue

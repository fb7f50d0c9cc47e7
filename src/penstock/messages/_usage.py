"""How many tokens a call used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from typing_extensions import NotRequired, TypedDict


class InputTokenDetails(TypedDict, total=False):
    """What the input tokens were; a provider may add keys of its own."""

    audio: int
    cache_creation: int
    cache_read: int


class OutputTokenDetails(TypedDict, total=False):
    """What the output tokens were; a provider may add keys of its own."""

    audio: int
    reasoning: int


class UsageMetadata(TypedDict):
    """Tokens that one model call, or several added up, used."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: NotRequired[InputTokenDetails]
    output_token_details: NotRequired[OutputTokenDetails]


def add_usage(left: UsageMetadata | None, right: UsageMetadata | None) -> UsageMetadata | None:
    """The sum of two usages, key by key; None counts as no tokens."""
    if left is None:
        return None if right is None else cast("UsageMetadata", _add({}, right))
    return cast("UsageMetadata", _add(left, right or {}))


def _add(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    total: dict[str, Any] = {
        key: _add(value, {}) if isinstance(value, Mapping) else value for key, value in left.items()
    }
    for key, value in right.items():
        old = total.get(key)
        if isinstance(value, Mapping):
            total[key] = _add(old if isinstance(old, Mapping) else {}, value)
        elif value is None:
            total.setdefault(key, None)
        else:
            total[key] = value if old is None else old + value
    return total

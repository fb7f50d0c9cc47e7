"""What a message says: text, or a list of text and content blocks; and how two halves of it join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from penstock.errors import MessageError

Content: TypeAlias = str | list[str | dict[str, Any]]
"""Content as a message holds it."""

ContentLike: TypeAlias = str | Sequence[str | Mapping[str, Any]]
"""Content as a message accepts it."""

_LABELS = frozenset({"id", "index", "role", "type"})
"""Keys that say what a piece is: they do not grow when its next part arrives."""


def read_content(value: object, owner: str) -> Content:
    """Content that is not text, as a message holds it, or a `MessageError` that names what was got."""
    if not isinstance(value, (list, tuple)):
        raise MessageError(
            f"{owner} got {value!r} ({type(value).__name__}) as content; expected text or a list of text and "
            f"content blocks (dicts)"
        )
    items: list[str | dict[str, Any]] = []
    for item in value:
        if isinstance(item, str):
            items.append(item)
        elif isinstance(item, Mapping):
            items.append(item if isinstance(item, dict) else dict(item))
        else:
            raise MessageError(
                f"{owner} got {item!r} ({type(item).__name__}) inside its content list; expected text or a "
                f"content block (a dict)"
            )
    return items


def text_of(content: Content) -> str:
    """The readable part of content: its text and its blocks of type `text`, joined."""
    if isinstance(content, str):
        return content
    return "".join(
        item if isinstance(item, str) else str(item.get("text", ""))
        for item in content
        if isinstance(item, str) or item.get("type") == "text"
    )


def join_content(left: Content, right: Content) -> Content:
    """Content followed by more content.

    Text continues text. In lists, text that follows text continues it, and a block with an `index` continues
    the block of the same index, wherever that is; every other block stands for itself. Neither side changes.
    """
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    joined: list[str | dict[str, Any]] = []
    places: dict[int | str, int] = {}
    for side in (left, right):
        for item in (side,) if isinstance(side, str) else side:
            if isinstance(item, str):
                _join_text(joined, item)
            else:
                _join_block(joined, places, item)
    return joined


def _join_text(joined: list[Any], text: str) -> None:
    if joined and isinstance(joined[-1], str):
        joined[-1] += text
    elif text:
        joined.append(text)


def _join_block(joined: list[Any], places: dict[int | str, int], block: Any) -> None:
    index = block.get("index") if isinstance(block, dict) else None
    if not isinstance(index, (int, str)):
        joined.append(block)
    elif index in places:
        place = places[index]
        joined[place] = join_mappings(joined[place], block)
    else:
        places[index] = len(joined)
        joined.append(block)


def join_mappings(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """A dict continued by another: text grows, lists and dicts join, anything else is replaced.

    `None` counts as absent. Labels (`id`, `index`, `role`, `type`) keep their first value.
    """
    joined = dict(left)
    for key, value in right.items():
        joined[key] = _join_values(key, joined[key], value) if key in joined else value
    return joined


def _join_values(key: str, left: Any, right: Any) -> Any:
    if right is None:
        return left
    if left is None:
        return right
    if key in _LABELS:
        return left
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, dict) and isinstance(right, dict):
        return join_mappings(left, right)
    if isinstance(left, list) and isinstance(right, list):
        joined: list[Any] = []
        places: dict[int | str, int] = {}
        for item in (*left, *right):
            _join_block(joined, places, item)
        return joined
    return right


def update_metadata(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata followed by newer metadata: the newer value stays, but lists and dicts join.

    A provider may repeat a value (a model's name, say) with each chunk, so text must not grow here. `None`
    counts as absent.
    """
    joined = dict(left)
    for key, value in right.items():
        old = joined.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            joined[key] = update_metadata(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            joined[key] = [*old, *value]
        elif value is not None or key not in joined:
            joined[key] = value
    return joined

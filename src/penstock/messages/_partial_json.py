"""Reading JSON whose end has not arrived yet."""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.errors import MessageError

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_BODY = re.compile(r'(?:[^"\\]+|\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt]))*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"true|false|null")
# What a token may begin with, at the end of the text.
_BEGUN_VALUE = re.compile(r"-|t|tr|tru|f|fa|fal|fals|n|nu|nul")
_BEGUN_NUMBER = re.compile(r"\.|[eE][+-]?")
_BEGUN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_HALF_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}$")
_CLOSER = {"{": "}", "[": "]"}


def parse_partial_json(text: str) -> Any:
    """Read JSON that may end in the middle, as a model's answer does while it streams.

    What is complete is kept; of the rest, an unfinished string gives the text so far, and an unfinished key,
    number, word or escape is left out. Line breaks inside strings are allowed, because models write them.
    The first thing that cannot be JSON ends the reading.

    Args:
        text: JSON, or its beginning.

    Returns:
        The value: a dict, list, str, number, bool or None.

    Raises:
        MessageError: `text` does not begin with JSON at all.

    Example:
        ```python
        from penstock.messages import parse_partial_json

        assert parse_partial_json('{"city": "San Fra') == {"city": "San Fra"}
        assert parse_partial_json('{"days": [1, 2, {"n": 3}], "un') == {"days": [1, 2, {"n": 3}]}
        ```
    """
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    repaired = _Reader(text).repaired()
    if repaired:
        try:
            return json.loads(repaired, strict=False)
        except (ValueError, RecursionError):
            pass
    start = text if len(text) <= 60 else text[:60] + "..."
    raise MessageError(f"expected JSON or the beginning of it, got {start!r}")


def read_object(text: str) -> dict[str, Any] | None:
    """A JSON object, or what is known of it while it arrives; None for text that cannot become one.

    Text behind a whole object is left out, as some models put their own marks there.
    """
    reader = _Reader(text)
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        try:
            value = json.loads(reader.repaired(), strict=False)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) and not reader.broken else None


class _Reader:
    """One pass over the text that remembers the last place where closing what is open gives whole JSON.

    Attributes:
        broken: whether the reading ended at something that cannot be JSON, not where the text ends.
    """

    __slots__ = ("broken", "end", "good", "good_depth", "opened", "tail", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = len(text)
        self.opened: list[str] = []
        self.broken = False
        self.good = 0
        self.good_depth = 0
        self.tail = ""

    def repaired(self) -> str:
        """The whole JSON that the text begins with; empty if it begins with none."""
        place = self._skip(0)
        while True:
            after = self._value(place)
            if after is None:
                break
            following = self._next_value(after)
            if following is None:
                break
            place = following
        closers = "".join(_CLOSER[opener] for opener in reversed(self.opened[: self.good_depth]))
        return self.text[: self.good] + self.tail + closers

    def _stop(self, place: int, begun: re.Pattern[str] | None = None) -> int | None:
        """Ends the reading here, where the text may go on with the rest of what `begun` matches."""
        self.broken = place < self.end and not (begun and begun.fullmatch(self.text, place))
        return None

    def _skip(self, place: int) -> int:
        found = _SPACE.match(self.text, place)
        return found.end() if found else place

    def _keep(self, place: int, tail: str = "") -> None:
        self.good, self.good_depth, self.tail = place, len(self.opened), tail

    def _value(self, place: int) -> int | None:
        """Reads a value, or opens a container; where to go on, or None at the end of what can be read."""
        head = self.text[place : place + 1]
        if head in ("{", "["):
            self.opened.append(head)
            self._keep(place + 1)
            return place + 1
        if head == '"':
            return self._string(place)
        found = _WORD.match(self.text, place) or _NUMBER.match(self.text, place)
        if found is None:
            return self._stop(place, _BEGUN_VALUE)
        self._keep(found.end())
        return found.end()

    def _string(self, place: int) -> int | None:
        found = _STRING_BODY.match(self.text, place + 1)
        end = found.end() if found else place + 1
        if self.text[end : end + 1] == '"':
            self._keep(end + 1)
            return end + 1
        # A half of a surrogate pair says nothing without the other half.
        half = _HALF_PAIR.search(self.text, place + 1, end)
        self._keep(half.end(1) if half else end, '"')
        return self._stop(end, _BEGUN_ESCAPE)

    def _next_value(self, place: int) -> int | None:
        """Where the next value begins: past commas, keys and everything that closes here."""
        fresh = self.text[place - 1] in "{["
        while self.opened:
            place = self._skip(place)
            head = self.text[place : place + 1]
            if head == _CLOSER[self.opened[-1]]:
                self.opened.pop()
                place += 1
                self._keep(place)
                fresh = False
                continue
            if not fresh:
                if head != ",":
                    return self._stop(place, _BEGUN_NUMBER)
                place = self._skip(place + 1)
            return self._after_key(place) if self.opened[-1] == "{" else place
        return None

    def _after_key(self, place: int) -> int | None:
        if self.text[place : place + 1] != '"':
            return self._stop(place)
        found = _STRING_BODY.match(self.text, place + 1)
        end = found.end() if found else place + 1
        if self.text[end : end + 1] != '"':
            return self._stop(end, _BEGUN_ESCAPE)
        colon = self._skip(end + 1)
        return self._skip(colon + 1) if self.text[colon : colon + 1] == ":" else self._stop(colon)

"""Texts with places to fill in, written like f-strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any

from ..errors import PromptError

_formatter = Formatter()

Part = tuple[str, str | None, str | None, str | None]


class Template:
    """A text such as `"Hello {name}"`; or a list or dict, as contents of messages are, with such texts inside.

    A place is a plain name, so that filling in can reach nothing but the value; `{name:>8}` and `{name!r}` work.
    """

    def __init__(self, written: Any) -> None:
        self.written = written
        self.variables: list[str] = []
        self._parsed = self._parse(written)

    def _parse(self, written: Any) -> Any:
        if isinstance(written, str):
            return self._parse_text(written)
        if isinstance(written, Mapping):
            return {key: self._parse(value) for key, value in written.items()}
        if isinstance(written, (list, tuple)):
            return [self._parse(value) for value in written]
        return written

    def _parse_text(self, text: str) -> tuple[Part, ...]:
        try:
            parts = tuple(_formatter.parse(text))
        except ValueError as error:
            raise PromptError(f"cannot read the template {text!r}: {error}; write {{{{ and }}}} for braces") from None
        for _, name, spec, _ in parts:
            if name is None:
                continue
            if not name.isidentifier() or "{" in (spec or ""):
                raise PromptError(
                    f"the template {text!r} has a place {name!r}; expected a plain name such as {{topic}}; write "
                    "{{ and }} for braces"
                )
            if name not in self.variables:
                self.variables.append(name)
        return parts

    def fill(self, values: Mapping[str, Any]) -> Any:
        """What was written, with the values in their places."""
        return self._fill(self._parsed, values)

    def _fill(self, parsed: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(parsed, tuple):
            return "".join(literal + _shown(values, name, spec, how) for literal, name, spec, how in parsed)
        if isinstance(parsed, dict):
            return {key: self._fill(value, values) for key, value in parsed.items()}
        if isinstance(parsed, list):
            return [self._fill(value, values) for value in parsed]
        return parsed


def _shown(values: Mapping[str, Any], name: str | None, spec: str | None, how: str | None) -> str:
    if name is None:
        return ""
    return format(_formatter.convert_field(values[name], how or None), spec or "")


def read_values(prompt: str, input: Any, needed: Iterable[str], partial: Mapping[str, Any]) -> dict[str, Any]:
    """What a prompt is to fill in, of its input.

    Raises:
        PromptError: something is missing.
    """
    needed = list(needed)
    if not isinstance(input, Mapping):
        if len(needed) != 1:
            raise PromptError(
                f"{prompt} got {input!r} ({type(input).__name__}); expected a dict with "
                f"{', '.join(map(repr, needed)) or 'no keys'}"
            )
        input = {needed[0]: input}
    missing = [name for name in needed if name not in input]
    if missing:
        raise PromptError(
            f"{prompt} needs {', '.join(map(repr, missing))}; got only {', '.join(map(repr, input)) or 'nothing'}. "
            "If this is to be text, write {{ and }} for the braces"
        )
    known = {name: value() if callable(value) else value for name, value in partial.items() if name not in input}
    return {**known, **input}

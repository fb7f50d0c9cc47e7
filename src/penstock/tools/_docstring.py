"""Reading docstrings in Google's style: what the function does, and what each parameter means."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(?:Args|Arguments|Parameters|Params):\s*$")
_ENTRY = re.compile(r"^\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """The docstring without its `Args:` section, and the text of each entry of that section.

    Args:
        text: a docstring, or None.
    """
    lines = inspect.cleandoc(text or "").splitlines()
    start = next((i for i, line in enumerate(lines) if _SECTION.match(line)), None)
    if start is None:
        return "\n".join(lines).strip(), {}
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    before = "\n".join(lines[:start]).rstrip()
    after = "\n".join(lines[end:]).strip()
    return "\n\n".join(part for part in (before, after) if part), _entries(lines[start + 1 : end])


def _entries(lines: list[str]) -> dict[str, str]:
    lines = inspect.cleandoc("\n" + "\n".join(lines)).splitlines()
    entries: dict[str, str] = {}
    name: str | None = None
    for line in lines:
        if line and not line[0].isspace():
            match = _ENTRY.match(line)
            name = match["name"] if match else None
            if match:
                entries[match["name"]] = match["text"].strip()
        elif name is not None and line.strip():
            entries[name] = f"{entries[name]} {line.strip()}".strip()
    return {name: text for name, text in entries.items() if text}

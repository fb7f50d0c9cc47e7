"""The python code blocks of a text, and a way to run them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .backends import run_on

_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)```(?P<language>[^\s`]*)[^\n]*\n(?P<body>.*?)^(?P=indent)```[ \t]*$", re.M | re.S
)


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, its source and the line (from 1) on which the source starts."""

    language: str
    source: str
    line: int

    def compile(self, file: str) -> Any:
        """A code object, that of a coroutine where the block awaits; tracebacks name the text's line."""
        padded = "\n" * (self.line - 1) + self.source
        return compile(padded, file, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def snippets(text: str) -> Iterator[Snippet]:
    """All fenced blocks of `text`, in order."""
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("body")) + 1
        yield Snippet(match["language"], textwrap.dedent(match["body"]), line)


def python_snippets(text: str) -> list[Snippet]:
    """The python blocks of `text`."""
    return [snippet for snippet in snippets(text) if snippet.language == "python"]


def awaits(found: list[Snippet]) -> bool:
    """Whether any of the blocks awaits at its top level."""
    return any(_is_async(snippet.compile("<snippet>")) for snippet in found)


def run_snippets(found: list[Snippet], file: str, backend_id: str) -> dict[str, Any]:
    """Run the blocks in order in one namespace, which is returned; those that await get a loop each."""
    namespace: dict[str, Any] = {"__name__": "__snippet__", "__file__": file}
    for snippet in found:
        code = snippet.compile(file)
        if _is_async(code):
            run_on(backend_id, _evaluate, code, namespace)
        else:
            exec(code, namespace)
    return namespace


async def _evaluate(code: Any, namespace: dict[str, Any]) -> None:
    await eval(code, namespace)


def _is_async(code: Any) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)

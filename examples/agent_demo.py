"""An agent from end to end: the model's tokens, the tools' progress and the agent's steps, shown as they happen.

The model calls a tool for two folders of this project at once, then answers. It runs on asyncio and on trio, with a
scripted model, or with a real one if the environment names it (see `_model.py`).

Run it: ``python -m examples.agent_demo``
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Literal

import anyio

from examples._model import choose_model
from penstock.config import get_stream_writer
from penstock.messages import BaseMessage
from penstock.models import ChatModel
from penstock.prebuilt import create_react_agent

ROOT = Path(__file__).parent.parent
QUESTION = "How many words are in the docs and in the sources of this project?"


def ask_for_counts(messages: list[BaseMessage]) -> dict[str, Any]:
    calls = [{"name": "count_words", "args": {"folder": folder}} for folder in ("docs", "src")]
    return {"content": "Let me count them.", "tool_calls": calls}


def sum_up(messages: list[BaseMessage]) -> str:
    counts = [message.text for message in messages if message.type == "tool"]
    total = sum(int(re.findall(r"(\d+) words", count)[0]) for count in counts)
    return f"I found {' and '.join(counts)}. That makes {total} words in all."


SCRIPT = [ask_for_counts, sum_up]


async def count_words(folder: Literal["docs", "src", "tests", "examples"]) -> str:
    """Count the words in a folder of this project."""
    writer = get_stream_writer()
    paths = sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".py"))
    total = 0
    for number, path in enumerate(paths, 1):
        total += len((await anyio.Path(path).read_text(encoding="utf-8")).split())
        if number == len(paths) or number % max(1, len(paths) // 4) == 0:
            await writer({"folder": folder, "done": number / len(paths), "words": total})
    return f"{total} words in {len(paths)} files of {folder}"


def build(model: ChatModel) -> Any:
    return create_react_agent(model, [count_words], prompt="Count before you answer.")


COLOURS = (
    {"messages": "36", "tools": "33", "updates": "32"} if sys.stdout.isatty() and not os.getenv("NO_COLOR") else {}
)


class Terminal:
    """Prints chunks as they come; the tokens of one message on one line."""

    def __init__(self, title: str) -> None:
        print(f"\n== {title} ".ljust(80, "="))
        self.answer = ""
        self._message: str | None = None

    def show(self, mode: str, chunk: Any) -> None:
        if mode == "messages":
            token, metadata = chunk
            if metadata["langgraph_node"] == "agent" and token.text:
                self._token(token)
        elif mode == "custom":
            bar = "#" * int(10 * chunk["done"])
            self._line(mode, f"{chunk['folder']:<4} [{bar:<10}] {chunk['words']} words")
        elif mode == "tools":
            told = {"tool-started": "input", "tool-finished": "output"}.get(chunk["event"], "message")
            self._line(mode, f"{chunk['event']}: {getattr(chunk[told], 'content', chunk[told])}")
        else:
            ((node, update),) = chunk.items()
            message = update["messages"][-1]
            calls = "".join(
                f" -> {call['name']}({call['args']['folder']})" for call in getattr(message, "tool_calls", ())
            )
            self._line(mode, f"{node}: {message.type} message{calls}")
            self.answer = message.text

    def _token(self, token: Any) -> None:
        if token.id != self._message:
            self.end_line()
            print(self._tag("messages"), end="")
            self._message = token.id
        print(token.text, end="", flush=True)

    def _line(self, mode: str, text: str) -> None:
        self.end_line()
        print(self._tag(mode) + text, flush=True)

    def end_line(self) -> None:
        if self._message is not None:
            print()
            self._message = None

    def _tag(self, mode: str) -> str:
        tag = f"{mode:<10}"
        return f"\033[{COLOURS[mode]}m{tag}\033[0m" if mode in COLOURS else tag


async def run(title: str, model: ChatModel) -> str:
    terminal = Terminal(title)
    modes = ["messages", "custom", "tools", "updates"]
    async with build(model).astream({"messages": QUESTION}, stream_mode=modes) as stream:
        async for mode, chunk in stream:
            terminal.show(mode, chunk)
    terminal.end_line()
    return terminal.answer


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Watch an agent work.")
    parser.add_argument("--delay", type=float, default=0.04, help="seconds before each scripted token (default: 0.04)")
    options = parser.parse_args(arguments)
    answers = [
        anyio.run(run, backend, choose_model(SCRIPT, delay=options.delay), backend=backend)
        for backend in ("asyncio", "trio")
    ]
    if not all(answers):
        sys.exit("error: the agent gave no answer")
    print("\nTwo event loops, one agent.")


if __name__ == "__main__":
    main()

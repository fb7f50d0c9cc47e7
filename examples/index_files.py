"""Index text files with a graph and watch it work: on asyncio, then on trio, then from a plain thread.

A planner fans out with `Send`, one run of a subgraph reads and analyses each file, reducers merge what they
find, and a last node sums up.  The stream shows it as it happens: every node's updates, the progress that a
helper function reports from deep inside, and where each chunk comes from.  All runs must make the same index.

    python examples/index_files.py                   this project's own documents and sources
    python examples/index_files.py notes/ todo.md    files, and directories with the text files below them
    python examples/index_files.py --show 20         twenty subgraph runs in full, the others by their result
"""

from __future__ import annotations

import argparse
import operator
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import anyio

from penstock.config import get_stream_writer
from penstock.graph import START, StateGraph
from penstock.types import Command, Send

ROOT = Path(__file__).resolve().parent.parent
OWN_FILES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "docs", "examples", "src")]
SUFFIXES = {".md", ".py", ".rst", ".txt"}
DEFINITION = re.compile(r"\s*(?:async\s+def|def|class)\s+(\w+)|#+\s+(.+)")  # of Python, or a heading
WORD = re.compile(r"[^\W\d_]{5,}")
CONFIG = {"max_concurrency": 8}


class Found(TypedDict):
    """What a subgraph run adds to the index; the keys of the last two are paths."""

    words: Annotated[Counter[str], operator.add]
    definitions: Annotated[dict[str, list[str]], operator.or_]
    lines: Annotated[dict[str, int], operator.or_]


class File(Found):
    path: Path
    text: str


class Report(NamedTuple):
    words: Counter[str]
    definitions: dict[str, list[str]]
    lines: dict[str, int]

    def __str__(self) -> str:
        sizes = len(self.lines), sum(self.lines.values()), sum(map(len, self.definitions.values()))
        top = ", ".join(f"{word} ({count})" for word, count in self.words.most_common(4))
        return "{} files, {} lines, {} definitions; most of all: {}".format(*sizes, top)


class Index(Found):
    paths: list[Path]
    report: Report


async def read(state: File) -> dict[str, Any]:
    return {"text": await anyio.Path(state["path"]).read_text(encoding="utf-8", errors="replace")}


def analyse(state: File) -> dict[str, Any]:
    """A plain function: it runs in a worker thread, and waits there when the terminal cannot keep up."""
    path, lines = str(state["path"]), state["text"].splitlines()
    words = Counter(word.lower() for word in WORD.findall(state["text"]))
    return {"words": words, "definitions": {path: find_definitions(path, lines)}, "lines": {path: len(lines)}}


def find_definitions(path: str, lines: list[str]) -> list[str]:
    """A helper that nobody handed a writer, and that reports its progress all the same."""
    writer = get_stream_writer()
    found = []
    for number, line in enumerate(lines, 1):
        if match := DEFINITION.match(line):
            found.append(match[1] or match[2])
        if number % 250 == 0 or number == len(lines):
            writer({"path": path, "done": number / len(lines), "found": len(found)})
    return found


index_file = StateGraph(File).add_sequence([read, analyse]).add_edge(START, "read").compile()


def plan(state: Index) -> Command[str]:
    """Find the files, and send each to a task of its own."""
    paths = sorted({file for path in state["paths"] for file in files_below(path)})
    if not paths:
        raise FileNotFoundError(f"no text files in {', '.join(map(str, state['paths']))}")
    return Command(update={"paths": paths}, goto=[Send("index_file", {"path": path}) for path in paths])


def files_below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = (p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    return [p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts)]


def summarise(state: Index) -> dict[str, Report]:
    return {"report": Report(state["words"], state["definitions"], state["lines"])}


graph = (
    StateGraph(Index)
    .add_node(plan, destinations=("index_file",))
    .add_node("index_file", index_file)
    .add_node(summarise)
    .add_edge(START, "plan")
    .add_edge("index_file", "summarise")
    .compile()
)

COLOURS = {"updates": "32", "custom": "33"} if sys.stdout.isatty() and not os.getenv("NO_COLOR") else {}


class Terminal:
    """Prints chunks as they come: all of the root graph, and those of the first few subgraph runs."""

    def __init__(self, title: str, show: int) -> None:
        print(f"\n== {title} ".ljust(80, "="))
        self.started = time.perf_counter()
        self.show = show
        self.shown: set[tuple[str, ...]] = {()}
        self.report: Report | None = None

    def chunk(self, namespace: tuple[str, ...], mode: str, chunk: dict[str, Any]) -> None:
        if namespace not in self.shown and len(self.shown) > self.show:
            return
        self.shown.add(namespace)
        if "summarise" in chunk:
            self.report = chunk["summarise"]["report"]
        # A segment of a namespace is "node:id of its task", of which the end tells enough.
        where = "/".join(f"{s.partition(':')[0]}:{s[-4:]}" for s in namespace) or "root"
        tag = f"\033[{COLOURS[mode]}m{mode:<7}\033[0m" if mode in COLOURS else f"{mode:<7}"
        print(f"{time.perf_counter() - self.started:7.3f}s  {where:<17}{tag}  {describe(chunk)}", flush=True)


def describe(chunk: dict[str, Any]) -> str:
    if "done" in chunk:
        bar = "#" * int(10 * chunk["done"])
        return f"[{bar:<10}] {Path(chunk['path']).name}: {chunk['found']} definitions"
    ((node, update),) = chunk.items()
    if node in ("analyse", "index_file"):
        (path,) = update["lines"]
        return f"{node}: {Path(path).name}, {sum(update['words'].values())} words"
    if node == "plan":
        return f"{node}: {len(update['paths'])} files"
    return f"{node}: {len(update['text'])} characters" if node == "read" else f"{node}: {update['report']}"


async def on_event_loop(title: str, paths: list[Path], show: int) -> Report | None:
    terminal = Terminal(title, show)
    stream = graph.astream({"paths": paths}, CONFIG, stream_mode=["updates", "custom"], subgraphs=True)
    async with stream as run:
        async for namespace, mode, chunk in run:
            terminal.chunk(namespace, mode, chunk)
        seen = run.statistics()
    print(f"statistics: {seen.delivered} chunks, {seen.peak} buffered at most, {seen.blocked_time:.3f}s blocked")
    return terminal.report


def in_plain_thread(title: str, paths: list[Path], show: int) -> Report | None:
    terminal = Terminal(title, show)
    stream = graph.stream({"paths": paths}, CONFIG, stream_mode=["updates", "custom"], subgraphs=True)
    for namespace, mode, chunk in stream:
        terminal.chunk(namespace, mode, chunk)
    return terminal.report


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Index text files with a graph, and watch it stream.")
    parser.add_argument("paths", nargs="*", type=Path, help="files and directories (default: this project)")
    parser.add_argument("--show", type=int, default=4, help="subgraph runs to show in full (default: 4)")
    options = parser.parse_args(arguments)
    paths = options.paths or [path for path in OWN_FILES if path.exists()]
    try:
        first = anyio.run(on_event_loop, "asyncio", paths, options.show)
        second = anyio.run(on_event_loop, "trio", paths, options.show, backend="trio")
        third = in_plain_thread("graph.stream()", paths, options.show)
    except OSError as error:  # of the planner or of a subgraph's node: it arrives here as itself
        sys.exit(f"error: {error}")
    if first is None or not first == second == third:
        sys.exit("error: the three runs made different indexes")
    print("\nThree runs, one index.")


if __name__ == "__main__":
    main()

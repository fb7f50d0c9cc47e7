"""Every example runs, and prints what it promises."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

EXPECTED = {
    "stream_from_tool": """\
  sync:  one
  sync:  two
  sync:  three
  async: one
  async: two
  async: three
""",
    "streaming_api": """\
sync, one mode
  {'refine_topic': {'topic': 'ice cream and cats'}}
  {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
sync, a list of modes
  updates {'refine_topic': {'topic': 'ice cream and cats'}}
  updates {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
async, one mode
  {'refine_topic': {'topic': 'ice cream and cats'}}
  {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
async, a list of modes
  updates {'refine_topic': {'topic': 'ice cream and cats'}}
  updates {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
""",
    "custom_and_multiple_modes": """\
custom, sync
  {'custom_key': 'Writing custom data while generating a joke'}
updates and custom, sync
  updates {'refine_topic': {'topic': 'ice cream and cats'}}
  custom {'custom_key': 'Writing custom data while generating a joke'}
  updates {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
updates alone: nobody asked for custom data, so writing it does nothing
  {'refine_topic': {'topic': 'ice cream and cats'}}
  {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
custom, async
  {'custom_key': 'Writing custom data while generating a joke'}
updates and custom, async
  updates {'refine_topic': {'topic': 'ice cream and cats'}}
  custom {'custom_key': 'Writing custom data while generating a joke'}
  updates {'generate_joke': {'joke': 'This is a joke about ice cream and cats'}}
""",
    "stream_from_subgraphs": """\
sync, only the parent
  {'node_1': {'foo': 'hi! foo'}}
  {'node_2': {'foo': 'hi! foobar'}}
sync, subgraphs=True
  root    {'node_1': {'foo': 'hi! foo'}}
  node_2  {'subgraph_node_1': {'bar': 'bar'}}
  node_2  {'subgraph_node_2': {'foo': 'hi! foobar'}}
  root    {'node_2': {'foo': 'hi! foobar'}}
sync, subgraphs=True and a list of modes
  root    values   {'foo': 'foo'}
  root    updates  {'node_1': {'foo': 'hi! foo'}}
  root    values   {'foo': 'hi! foo'}
  node_2  values   {'foo': 'hi! foo'}
  node_2  updates  {'subgraph_node_1': {'bar': 'bar'}}
  node_2  values   {'foo': 'hi! foo', 'bar': 'bar'}
  node_2  updates  {'subgraph_node_2': {'foo': 'hi! foobar'}}
  node_2  values   {'foo': 'hi! foobar', 'bar': 'bar'}
  root    updates  {'node_2': {'foo': 'hi! foobar'}}
  root    values   {'foo': 'hi! foobar'}
async, subgraphs=True
  root    {'node_1': {'foo': 'hi! foo'}}
  node_2  {'subgraph_node_1': {'bar': 'bar'}}
  node_2  {'subgraph_node_2': {'foo': 'hi! foobar'}}
  root    {'node_2': {'foo': 'hi! foobar'}}
""",
}


def example(name: str) -> ModuleType:
    return importlib.import_module(f"examples.{name}")


def test_every_example_is_tested_here() -> None:
    tested = {*EXPECTED, "values_updates_debug", "writer_outside_graph", "index_files", "__init__"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    example(name).main()
    assert capsys.readouterr().out == EXPECTED[name]


def test_values_updates_debug(capsys: pytest.CaptureFixture[str]) -> None:
    example("values_updates_debug").main()
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    kinds = [f"{mode}, {api}" for api in ("sync", "async") for mode in ("values", "updates", "debug")]
    assert headings == [*kinds, "the default mode is updates"]
    joke = "'joke': 'This is a joke about ice cream and cats'"
    assert lines.count(f"  {{'topic': 'ice cream and cats', {joke}}}") == 2  # values
    assert lines.count(f"  {{'generate_joke': {{{joke}}}}}") == 3  # updates
    assert sum("'type': 'task_result'" in line for line in lines) == 4  # debug


def test_writer_outside_graph(capsys: pytest.CaptureFixture[str]) -> None:
    example("writer_outside_graph").main()
    inside, outside = capsys.readouterr().out.split("outside\n")
    assert inside == (
        "inside a graph\n"
        "  custom Looking up data for city: sf\n"
        "  updates {'ask': {'weather': \"It's always sunny in sf!\"}}\n"
    )
    assert outside.startswith("  RuntimeError: ")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A few files, nested, one of which nobody should look at."""
    files = {
        "a.md": "# Title\n\nstream stream stream graph graph\n\n## Section\n",
        "b.py": "class Graph:\n    def stream(self): ...\n    async def astream(self): ...\n",
        "deep/c.txt": "graph\n" * 600,
        "deep/empty.txt": "",
        ".hidden/d.py": "def secret(): ...\n",
        "e.bin": "stream",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_index_files(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("index_files").main([str(library), "--show", "9"])
    *runs, _ = capsys.readouterr().out.split("\n\n")
    headings = [run.strip("\n").splitlines()[0] for run in runs]
    assert [heading.strip("= ") for heading in headings] == ["asyncio", "trio", "graph.stream()"]
    for run in runs:
        lines = [line[10:] for line in run.splitlines() if "s  " in line[:11]]
        assert lines[0] == "root             updates  plan: 4 files"
        assert "summarise: 4 files, 608 lines, 5 definitions; most of all: graph (603), stream (4)" in lines[-1]
        shown = [line.split(maxsplit=2) for line in lines]
        subgraphs = {where for where, _, _ in shown if where != "root"}
        assert len(subgraphs) == 4
        assert all(where.startswith("index_file:") for where in subgraphs)
        long = next(where for where, _, text in shown if where != "root" and text == "read: 3600 characters")
        assert [(mode, text) for where, mode, text in shown if where == long] == [
            ("updates", "read: 3600 characters"),
            ("custom", "[####      ] c.txt: 0 definitions"),
            ("custom", "[########  ] c.txt: 0 definitions"),
            ("custom", "[##########] c.txt: 0 definitions"),
            ("updates", "analyse: c.txt, 600 words"),
        ]


def test_index_files_shows_some_runs_in_full(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("index_files").main([str(library), "--show", "1"])
    out = capsys.readouterr().out
    assert out.count(" analyse: ") == 3  # one in each of the three runs
    assert out.count(" index_file: ") == 12
    assert out.count("statistics: ") == 2


@pytest.mark.parametrize("name", ["missing.md", "empty"])
def test_index_files_fails_with_the_error_of_its_node(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=f"error: .*{name}"):
        example("index_files").main([str(tmp_path / name)])


def test_index_files_is_a_program_that_indexes_this_project() -> None:
    # Coverage of subprocesses is not measured, and colours are for terminals only.
    command = [sys.executable, str(EXAMPLES / "index_files.py"), "--show", "0"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith("\nThree runs, one index.\n")
    assert run.stdout.count("updates  summarise: ") == 3
    assert "\033" not in run.stdout

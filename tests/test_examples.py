"""Every example runs, and prints what it promises."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.testing import FakeAnthropicServer, FakeOpenAIServer

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
    "tokens": """\
Why| did| the| cat| eat| ice| cream?| To| become| a| cool| cat.|
Why| did| the| cat| eat| ice| cream?| To| become| a| cool| cat.|
from the node generate_joke, in superstep 2
""",
    "tokens_from_function": """\
A| lamp,| a| desk| and| a| bed.|
""",
    "tokens_of_message": """\
Hello!| How| can| I| help?|
call_model: 'Hello!'
call_model: ' How'
call_model: ' can'
call_model: ' I'
call_model: ' help?'
""",
    "tokens_of_one_node": """\
chosen by the reader
I| am| the| first.|
chosen at the source: tokens of node_b never enter the stream
I| am| the| first.|
""",
    "tokens_of_parallel_nodes": """\
Soft| paws| at| night,| a| dream| of| fish.|
write_joke: Why did the cat sit on the computer?
write_poem: Soft paws at night, a dream of fish.
""",
    "tokens_by_tag": """\
both calls
Why| did| the| cat| sit| on| the| computer?| To| keep| an| eye| on| the| mouse.|Soft| paws| at| night,| a| dream| of| fish.|
the joke, chosen by the reader
Why| did| the| cat| sit| on| the| computer?| To| keep| an| eye| on| the| mouse.|
the joke, chosen at the source: tokens of the poem never enter the stream
Why| did| the| cat| sit| on| the| computer?| To| keep| an| eye| on| the| mouse.|
""",
    "client_in_node": """\
custom chunks
Why| did| the| cat| sit| on| the| computer?|Soft| paws| at| night.|
custom chunks, those of the poem
Soft| paws| at| night.|
messages, those of the poem
Soft| paws| at| night.|
""",
    "client_in_tool": """\
A| bed,| a| lamp| and| a| desk.|
""",
    "agent_tool_progress": """\
what the tool says
  {'custom_tool_data': 'books'}
  {'custom_tool_data': 'penciles'}
  {'custom_tool_data': 'pictures'}
and the steps around it
  updates ['agent']
  custom ['custom_tool_data']
  custom ['custom_tool_data']
  custom ['custom_tool_data']
  updates ['tools']
  updates ['agent']
""",
    "agent_tool_tokens": """\
A| bed,| a| lamp| and| a| desk.|
""",
    "agent_updates": """\
sync
  agent: ai get_weather({'city': 'sf'})
  tools: tool It's always sunny in sf!
  agent: ai It's sunny in San Francisco.
async
  agent: ai get_weather({'city': 'sf'})
  tools: tool It's always sunny in sf!
  agent: ai It's sunny in San Francisco.
""",
    "agent_tokens": """\
sync
  agent: calls get_weather
  agent: calls {"city": "
  agent: calls sf"}
  tools: "It's always sunny in sf!"
  agent: "It's"
  agent: ' sunny'
  agent: ' in'
  agent: ' San'
  agent: ' Francisco.'
async
  agent: calls get_weather
  agent: calls {"city": "
  agent: calls sf"}
  tools: "It's always sunny in sf!"
  agent: "It's"
  agent: ' sunny'
  agent: ' in'
  agent: ' San'
  agent: ' Francisco.'
""",
    "agent_custom": """\
  sync:  Looking up data for city: sf
  async: Looking up data for city: sf
""",
    "tool_events": """\
what the tool returns
  .yad noitaudarg rof tiftuo sesoohc yrraB ;scisyhp seifed eeB
what the model has said
  ScriptedChatModel ['seq:step:2']: Bee defies physics; Barry chooses outfit for graduation day.
its tokens
Bee| def|ies physics|;| Barry| cho|oses outfit| for| graduation| day|.||
what is called inside of the tool
 on_tool_start special_summarization_tool
   on_chain_start RunnableSequence
     on_prompt_start ChatPromptTemplate
     on_chat_model_start ScriptedChatModel
     on_parser_start StrOutputParser
     on_chain_start reverse
what is called with the config stands beside the tool
 on_tool_start special_summarization_tool_with_config
 on_chain_start RunnableSequence
   on_prompt_start ChatPromptTemplate
   on_chat_model_start ScriptedChatModel
   on_parser_start StrOutputParser
   on_chain_start reverse
""",
}
"""With the scripted models of the examples."""

LONG = {"values_updates_debug", "writer_outside_graph", "index_files", "agent_demo"}
"""Examples with tests of their own."""


@pytest.fixture(autouse=True)
def no_real_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever keys the machine has, the tests use scripted models."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "ANTHROPIC_API_KEY", "ANTHROPIC_MODEL"):
        monkeypatch.delenv(name, raising=False)


def example(name: str) -> ModuleType:
    return importlib.import_module(f"examples.{name}")


def test_every_example_is_tested_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*EXPECTED, *LONG, "__init__", "_model"}


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
    inside, rest = capsys.readouterr().out.split("outside\n")
    outside, tested = rest.split("in a test\n")
    assert inside == (
        "inside a graph\n"
        "  custom Looking up data for city: sf\n"
        "  updates {'ask': {'weather': \"It's always sunny in sf!\"}}\n"
    )
    said = "  RuntimeError: get_stream_writer() was called outside of a running node"
    assert [line.split(".")[0] for line in outside.splitlines()] == [said] * 2
    assert tested == "  It's always sunny in sf!\n  ['Looking up data for city: sf']\n"


# --- agents and real models -------------------------------------------------------------------------------


def test_agent_demo(capsys: pytest.CaptureFixture[str]) -> None:
    example("agent_demo").main(["--delay", "0"])
    *runs, last = capsys.readouterr().out.strip().split("\n\n")
    assert last == "Two event loops, one agent."
    assert [run.splitlines()[0].strip("= ") for run in runs] == ["asyncio", "trio"]
    for run in runs:
        lines = [line.split(maxsplit=1) for line in run.splitlines()[1:]]
        assert lines[:2] == [
            ["messages", "Let me count them."],
            ["updates", "agent: ai message -> count_words(docs) -> count_words(src)"],
        ]
        assert [text for mode, text in lines if mode == "updates"][1:] == [
            "tools: tool message",
            "tools: tool message",
            "agent: ai message",
        ]
        assert [text.split(":")[0] for mode, text in lines if mode == "tools"][:2] == ["tool-started"] * 2
        for folder in ("docs", "src"):
            told = [text for mode, text in lines if mode in ("custom", "tools") and folder in text]
            assert told[0] == f"tool-started: {{'folder': '{folder}'}}"
            assert len(told) > 4
            assert "[##########]" in told[-2]
            assert told[-1].startswith("tool-finished: ")
        assert lines[-2][1].startswith("I found ")
        assert lines[-2][1].endswith(" words in all.")


def asked(server: Any) -> list[str]:
    """The models that a fake server was asked for."""
    return [request.body["model"] for request in server.requests]


def test_with_a_server_in_the_environment_the_examples_ask_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai")
    agent = example("agent_updates")
    with FakeOpenAIServer([*agent.SCRIPT, *agent.SCRIPT]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_MODEL", "local-model")
        agent.main()
        assert asked(server) == ["local-model"] * 4
    assert capsys.readouterr().out == EXPECTED["agent_updates"]


def test_with_a_server_in_the_environment_openais_client_asks_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai")
    answers = example("client_in_node").SCRIPT
    with FakeOpenAIServer(answers, cycle=True) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        example("client_in_node").main()
        assert asked(server) == ["gpt-4o-mini"] * 6
    assert capsys.readouterr().out == EXPECTED["client_in_node"]


def test_with_anthropics_key_the_examples_ask_claude(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("anthropic")
    with FakeAnthropicServer(example("tokens_from_function").SCRIPT) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
        example("tokens_from_function").main()
        assert asked(server) == ["claude-haiku-4-5"]
    assert capsys.readouterr().out == EXPECTED["tokens_from_function"]


# --- the long ones ----------------------------------------------------------------------------------------


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

"""From events to chunks, as a unit: what is built, in which shape, and that nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import pytest

from penstock.errors import StreamClosedError
from penstock.streams import (
    MODES,
    Feed,
    Merger,
    Port,
    Projector,
    Selection,
    StreamRequest,
    no_writer,
)
from tests.support import Recorder

from .test_merger import NewMerger, drained
from .test_port import taken


@dataclass
class Graph:
    """A graph as a feed sees it."""

    keys: Collection[str] = ("n", "log")
    coerce: Callable[[dict[str, Any]], Any] | None = None


@dataclass
class Task:
    """A task as a feed sees it; notes what it is asked for, since all of it may cost something to compute."""

    name: str = "node"
    tags: Collection[str] = ()
    shown_metadata: Mapping[str, Any] = field(default_factory=dict)
    asked: Recorder = field(default_factory=Recorder)

    @property
    def id(self) -> str:
        self.asked("id")
        return "1"

    @property
    def input(self) -> Any:
        self.asked("input")
        return {"n": 0}

    @property
    def triggers(self) -> tuple[str, ...]:
        self.asked("triggers")
        return ("branch:to:node",)


def feed_of(merger: Merger, namespace: tuple[str, ...] = (), graph: Graph | None = None, **request: Any) -> Feed:
    request["modes"] = frozenset(request.get("modes", ()))
    feed = Projector(StreamRequest(**request), merger).feed(namespace, graph or Graph())
    assert feed is not None
    return feed


def tell_everything(feed: Feed, task: Task) -> None:
    feed.started(1, task)
    feed.updated(task, [("n", 1)])
    feed.ended(1, task, [("n", 1)], None, 1)
    feed.state({"n": 1, "log": []}, {"n"})


@pytest.mark.parametrize("mode", MODES)
async def test_only_the_requested_mode_is_built(new_merger: NewMerger, mode: str) -> None:
    merger, task = new_merger(64), Task()
    feed = feed_of(merger, modes=[mode])
    tell_everything(feed, task)
    chunks = {"values": 1, "updates": 1, "tasks": 2, "debug": 2}.get(mode, 0)
    assert merger.peak == chunks
    assert (task.asked == []) == (mode not in ("tasks", "debug"))  # nothing is computed that is not shown
    feed.writer(task, blocking=False, attempt=1)("chunk")
    assert merger.peak == (1 if mode == "custom" else chunks)


async def test_nobody_watches_nothing_is_built(new_merger: NewMerger) -> None:
    projector = Projector(StreamRequest(frozenset(MODES)), new_merger(64))
    assert projector.feed(("sub:1",), Graph()) is None  # without subgraphs=True
    assert projector.feed((), Graph()) is not None
    shallow = StreamRequest(frozenset(MODES), subgraphs=True, only=Selection(depth=1))
    projector = Projector(shallow, new_merger(64))
    assert projector.feed(("sub:1",), Graph()) is not None
    assert projector.feed(("sub:1", "sub:2"), Graph()) is None


async def test_the_root_of_a_stream_opened_inside_of_a_node(new_merger: NewMerger) -> None:
    """What was streamed is the root, wherever it lies."""
    projector = Projector(StreamRequest(frozenset(["values"])), new_merger(64), base=("outer:1",))
    assert projector.feed(("outer:1",), Graph()) is not None
    assert projector.feed(("outer:1", "inner:2"), Graph()) is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {"node": {"n": 1}}),
        ({"tagged": True}, ("updates", {"node": {"n": 1}})),
        ({"subgraphs": True}, (("sub:1",), {"node": {"n": 1}})),
        ({"subgraphs": True, "tagged": True}, (("sub:1",), "updates", {"node": {"n": 1}})),
        (
            {"subgraphs": True, "tagged": True, "version": "v2"},
            {"type": "updates", "ns": ("sub:1",), "data": {"node": {"n": 1}}},
        ),
    ],
)
async def test_shapes(new_merger: NewMerger, request_: dict[str, Any], expected: Any) -> None:
    merger = new_merger(64)
    namespace = ("sub:1",) if request_.get("subgraphs") else ()
    feed_of(merger, namespace, modes=["updates"], **request_).updated(Task(), [("n", 1)])
    assert drained(merger) == [expected]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, 7),
        ({"tagged": True}, ("custom", 7)),
        ({"subgraphs": True}, (("sub:1",), 7)),
        ({"subgraphs": True, "tagged": True}, (("sub:1",), "custom", 7)),
        ({"subgraphs": True, "version": "v2"}, {"type": "custom", "ns": ("sub:1",), "data": 7}),
    ],
)
async def test_shapes_of_custom_chunks(new_merger: NewMerger, request_: dict[str, Any], expected: Any) -> None:
    merger = new_merger(64)
    namespace = ("sub:1",) if request_.get("subgraphs") else ()
    writer = feed_of(merger, namespace, modes=["custom"], **request_).writer(Task(), blocking=False, attempt=1)
    writer(7)
    assert drained(merger) == [expected]


async def test_later_attempts_are_marked(new_merger: NewMerger) -> None:
    merger, task = new_merger(64), Task()
    feed = feed_of(merger, modes=["custom", "tasks"], version="v2")
    feed.writer(task, blocking=False, attempt=2)("again")
    feed.ended(1, task, [], None, 2)
    custom, result = drained(merger)
    assert isinstance(custom, dict)
    assert isinstance(result, dict)
    assert custom["attempt"] == 2
    assert result["data"]["attempt"] == 2


async def test_values_are_a_container_of_their_own(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    state = {"n": 1}
    feed_of(merger, modes=["values"]).state(state, {"n"})
    (chunk,) = drained(merger)
    assert isinstance(chunk, dict)
    chunk["n"] = 2
    assert state == {"n": 1}


async def test_values_need_a_write(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    feed = feed_of(merger, modes=["values"])
    feed.state({"n": 1}, None)
    feed.state({"n": 1}, set())
    assert merger.peak == 0


async def test_output_keys_restrict_the_root(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    feed = feed_of(merger, modes=["values", "updates"], output_keys=("n",))
    feed.state({"n": 1, "log": []}, {"log"})
    feed.state({"n": 1, "log": []}, {"n", "log"})
    feed.updated(Task(), [("log", ["x"])])
    feed.updated(Task(), [("log", ["x"]), ("n", 2)])
    assert drained(merger) == [{"n": 1}, {"node": None}, {"node": {"n": 2}}]


async def test_one_output_key_gives_the_bare_value(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    feed = feed_of(merger, modes=["values", "updates"], output_keys="n")
    feed.state({"n": 1, "log": []}, {"log"})
    feed.state({"n": 1, "log": []}, {"n"})
    feed.updated(Task(), [("log", ["x"]), ("n", 2)])
    feed.updated(Task(), [("log", ["x"])])
    assert drained(merger) == [1, {"node": 2}, {"node": None}]


async def test_output_keys_do_not_restrict_subgraphs(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    feed = feed_of(merger, ("sub:1",), modes=["values"], subgraphs=True, output_keys=("n",))
    feed.state({"log": []}, {"log"})
    assert drained(merger) == [(("sub:1",), {"log": []})]


async def test_a_key_written_twice(new_merger: NewMerger) -> None:
    merger, task = new_merger(64), Task()
    feed = feed_of(merger, modes=["updates", "tasks"])
    writes = [("log", ["a"]), ("n", 1), ("log", ["b"]), ("log", ["c"])]
    feed.updated(task, writes)
    feed.ended(1, task, writes, None, 1)
    update, result = drained(merger)
    assert update == {"node": [{"log": ["a"]}, {"n": 1}, {"log": ["b"]}, {"log": ["c"]}]}
    assert isinstance(result, dict)
    assert result["result"] == {"log": {"$writes": [["a"], ["b"], ["c"]]}, "n": 1}


async def test_an_unselected_node_is_asked_nothing(new_merger: NewMerger) -> None:
    merger, task = new_merger(64), Task("other")
    feed = feed_of(merger, modes=MODES, only=Selection(nodes=frozenset({"node"})))
    feed.started(1, task)
    feed.updated(task, [("n", 1)])
    feed.ended(1, task, [("n", 1)], None, 1)
    assert feed.writer(task, blocking=False, attempt=1) is no_writer
    assert merger.peak == 0
    assert task.asked == []


async def test_the_state_has_its_type_in_v2(new_merger: NewMerger) -> None:
    merger = new_merger(64)
    graph = Graph(coerce=lambda state: sorted(state.items()))
    feed_of(merger, (), graph, modes=["values"], version="v2").state({"n": 1}, {"n"})
    feed_of(merger, (), graph, modes=["values"]).state({"n": 1}, {"n"})
    typed, plain = drained(merger)
    assert typed == {"type": "values", "ns": (), "data": [("n", 1)], "interrupts": ()}
    assert plain == {"n": 1}


async def test_printing(new_merger: NewMerger, capsys: pytest.CaptureFixture[str]) -> None:
    merger, task = new_merger(64), Task()
    feed = feed_of(merger, ("sub:1",), subgraphs=True, modes=["custom"], printed=frozenset({"custom", "updates"}))
    feed.updated(task, [("n", 1)])
    feed.writer(task, blocking=False, attempt=1)("hello")
    assert capsys.readouterr().out == "[updates] sub:1: {'node': {'n': 1}}\n[custom] sub:1: 'hello'\n"
    assert drained(merger) == [(("sub:1",), "hello")]
    only_printed = feed_of(merger, modes=[], printed=frozenset({"custom"}))
    await only_printed.writer(task, blocking=False, attempt=1)("to the screen")
    assert capsys.readouterr().out == "[custom] 'to the screen'\n"
    assert drained(merger) == []


async def test_a_feed_on_another_loop_waits_for_this_one(new_merger: NewMerger) -> None:
    merger = new_merger(2)

    async def other_loop() -> None:
        feed = feed_of(merger, modes=["updates"])
        assert feed.remote
        for i in range(40):
            feed.updated(Task(), [("n", i)])
            if feed.pending:
                await feed.flush()

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, anyio.run, other_loop)
        got = await taken(merger, 40)
    assert got == [{"node": {"n": i}} for i in range(40)]
    assert merger.peak <= 2


async def test_a_feed_on_another_loop_does_not_wait_for_one_that_stands_still(new_merger: NewMerger) -> None:
    """This loop can be waiting for the other one."""
    merger = new_merger(1)

    async def other_loop() -> None:
        feed = feed_of(merger, modes=["updates"])
        for i in range(10):
            feed.updated(Task(), [("n", i)])
            await feed.relieved()

    thread = threading.Thread(target=anyio.run, args=(other_loop,))
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert merger.standing_still
    merger.drain_inbox()
    assert drained(merger) == [{"node": {"n": i}} for i in range(10)]
    with anyio.fail_after(5):
        while merger.standing_still:
            await anyio.sleep(0.01)


async def test_a_closed_feed_refuses(new_merger: NewMerger) -> None:
    merger = new_merger(4)
    feed = feed_of(merger, modes=["custom"])
    writer = feed.writer(Task(), blocking=False, attempt=1)
    assert isinstance(writer, Port)
    writer.close()
    with pytest.raises(StreamClosedError):
        writer(1)
    feed.close()
    assert merger.ports == set()

"""What readers see when something fails: cases 22 to 30."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from penstock.config import get_config, get_stream_writer
from penstock.errors import (
    GraphBuildError,
    GraphRecursionError,
    InvalidUpdateError,
    NodeCancelledError,
    NodeError,
    NodeTimeoutError,
    OutsideRunError,
    RunCancelledError,
    StreamClosedError,
    StreamOverflowError,
    UnknownTargetError,
)
from penstock.graph import END, START, StateGraph
from penstock.runtime import Runtime
from penstock.types import Command, RetryPolicy, Send
from tests.support import Recorder, checkpoints, collect

from ._failing import State, in_a_row, notes, side_by_side

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

BOTH = ["custom", "updates"]


async def read(stream: Any, into: list[Any], pause: float = 0.0) -> BaseException:
    """Read a stream that must fail; gives its error."""
    try:
        async for chunk in stream:
            into.append(chunk)
            if pause:
                await anyio.sleep(pause)
    except BaseException as error:
        return error
    raise AssertionError(f"no error after {into!r}")


# ---------------------------------------------------------------- 22: a node raises


@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
@pytest.mark.parametrize("written", [0, 1, 3, 200])
@pytest.mark.parametrize("after", [False, True], ids=["at once", "after a wait"])
async def test_c22_chunks_then_the_error_itself(strict: bool, written: int, after: bool) -> None:
    boom = ValueError("boom")

    async def bad(state: State, writer: Any) -> None:
        for i in range(written):
            writer(i)
        if after:
            await checkpoints(3)
        raise boom

    stream = side_by_side(bad).astream({"n": 1}, stream_mode="custom", high_water_mark=8)
    chunks: list[Any] = []
    if strict:
        async with stream as run:
            error = await read(run, chunks)
    else:
        error = await read(stream, chunks)
    assert error is boom
    assert chunks == list(range(written))
    assert error.__cause__ is None and error.__context__ is None


async def test_c22_an_error_between_chunks_and_awaited_writes() -> None:
    boom = ValueError("boom")

    async def bad(state: State, writer: Any) -> None:
        await writer("awaited")
        writer("plain")
        try:
            raise boom
        finally:
            writer("cleanup")

    chunks: list[Any] = []
    assert await read(side_by_side(bad).astream({"n": 1}, stream_mode="custom"), chunks) is boom
    assert chunks == ["awaited", "plain", "cleanup"]


@pytest.mark.parametrize("written", [1, 200])
async def test_c22_chunks_of_a_sync_node_then_the_error_itself(written: int) -> None:
    boom = ValueError("boom")

    def bad(state: State, writer: Any) -> None:
        for i in range(written):
            writer(i)
        raise boom

    chunks: list[Any] = []
    stream = side_by_side(bad).astream({"n": 1}, stream_mode="custom", high_water_mark=8)
    assert await read(stream, chunks) is boom
    assert chunks == list(range(written))


async def test_c22_the_error_names_task_node_namespace_superstep_and_attempt() -> None:
    async def fine(state: State) -> None: ...

    async def bad(state: State) -> None:
        raise ConnectionError("boom")

    graph = in_a_row(fine, bad, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=2))
    for error in (
        await read(graph.astream({"n": 1}), []),
        await read(graph.astream({"n": 1}, stream_mode="tasks"), tasks := []),
        await ainvoke_error(graph),
    ):
        assert "'bad' in the root graph, superstep 2, attempt 2" in notes(error)
        assert notes(error).count("During task with name 'bad' and id ") == 1
    assert f"id {tasks[-1]['id']!r}" in notes(tasks[-1]["error"])


async def ainvoke_error(graph: Any, **options: Any) -> BaseException:
    try:
        await graph.ainvoke({"n": 1}, **options)
    except BaseException as error:
        return error
    raise AssertionError("no error")


async def test_c22_an_error_in_a_subgraph_names_every_task_and_the_namespace() -> None:
    boom = ValueError("boom")

    async def bad(state: State) -> None:
        raise boom

    inner = side_by_side(bad)
    middle = side_by_side(("called", lambda state: None), ("inner", inner))

    async def calls(state: State) -> Any:
        return await middle.ainvoke(state)

    outer = side_by_side(calls)
    chunks: list[Any] = []
    error = await read(outer.astream({"n": 1}, stream_mode="tasks", subgraphs=True), chunks)
    assert error is boom
    text = notes(error)
    assert [line.split("'")[1] for line in text.splitlines() if line.startswith("During")] == ["bad", "inner", "calls"]
    namespace = next(ns for ns, chunk in chunks if chunk["name"] == "bad")
    assert f"Node 'bad' in {'|'.join(namespace)}, superstep 1, attempt 1" in text
    # every level's `tasks` result tells of it
    assert [chunk["name"] for _, chunk in chunks if chunk.get("error") is boom] == ["bad", "inner", "calls"]


async def test_c22_the_traceback_starts_with_the_reader_and_ends_in_the_node() -> None:
    async def bad(state: State) -> None:
        raise ValueError("boom")

    def functions(error: BaseException) -> list[str]:
        names, tb = [], error.__traceback__
        while tb is not None:
            names.append(tb.tb_frame.f_code.co_name)
            tb = tb.tb_next
        return names

    graph = side_by_side(bad)
    streamed = functions(await read(graph.astream({"n": 1}), []))
    assert streamed[0] == "read" and streamed[-1] == "bad" and len(streamed) <= 5
    invoked = functions(await ainvoke_error(graph))
    assert invoked[0] == "ainvoke_error" and invoked[-1] == "bad"


@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
async def test_c22_siblings_are_cancelled_at_once_though_the_reader_stalls(strict: bool) -> None:
    seen = Recorder()

    async def bad(state: State, writer: Any) -> None:
        await seen.wait_for("read one")
        writer("last words")
        raise ValueError("boom")

    async def asleep(state: State) -> None:
        with seen.span("asleep"):
            await anyio.sleep_forever()

    async def full(state: State, writer: Any) -> None:
        with seen.span("full"):
            while True:
                await writer("x")

    async def plain(state: State, writer: Any) -> None:
        with seen.span("plain"):
            while True:
                writer("y")
                await checkpoints(1)

    def thread(state: State, writer: Any) -> None:
        try:
            while True:
                writer("z")
        finally:
            seen("thread ended")

    async def consume(run: Any) -> None:
        chunks: list[Any] = []
        with pytest.raises(ValueError, match="boom"):
            async for chunk in run:
                chunks.append(chunk)
                if len(chunks) == 1:
                    seen("read one")
                    # the reader does not come back for the next chunk before everybody has ended
                    for mark in (
                        "asleep ended: cancelled",
                        "full ended: cancelled",
                        "plain ended: cancelled",
                        "thread ended",
                    ):
                        await seen.wait_for(mark)
        assert chunks.count("last words") == 1

    stream = side_by_side(bad, asleep, full, plain, thread).astream({"n": 1}, stream_mode="custom", high_water_mark=4)
    if strict:
        async with stream as run:
            await consume(run)
    else:
        await consume(stream)


async def test_c22_a_cancelled_siblings_cleanup_is_not_held_up_by_a_stalled_reader() -> None:
    seen = Recorder()

    async def bad(state: State) -> None:
        await seen.wait_for("full")
        raise ValueError("boom")

    async def full(state: State, writer: Any) -> None:
        for i in range(4):
            writer(i)
        seen("full")
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await writer("cleanup")
            seen("cleaned up")

    async with side_by_side(bad, full).astream({"n": 1}, stream_mode="custom", high_water_mark=4) as run:
        with pytest.raises(ValueError, match="boom"):
            async for _ in run:
                await seen.wait_for("cleaned up")


async def test_c22_siblings_chunks_from_before_the_failure_come_first_and_in_order() -> None:
    written: list[int] = []

    async def bad(state: State) -> None:
        while len(written) < 20:
            await checkpoints(1)
        raise ValueError("boom")

    async def good(state: State, writer: Any) -> None:
        for i in range(1000):
            written.append(i)
            writer(i)
            await checkpoints(1)

    chunks: list[Any] = []
    error = await read(side_by_side(bad, good).astream({"n": 1}, stream_mode="custom", high_water_mark=64), chunks)
    assert isinstance(error, ValueError)
    assert chunks == written and len(chunks) >= 20


async def test_c22_the_update_of_a_sibling_that_had_finished_is_delivered() -> None:
    done = anyio.Event()

    async def fast(state: State, writer: Any) -> Any:
        writer("fast")
        return {"log": ["fast"]}

    async def watch(state: State) -> Any:
        await done.wait()
        raise ValueError("boom")

    chunks: list[Any] = []
    with pytest.raises(ValueError, match="boom"):
        async for chunk in side_by_side(fast, watch).astream({"n": 1}, stream_mode=["custom", "updates", "values"]):
            chunks.append(chunk)
            if chunk == ("updates", {"fast": {"log": ["fast"]}}):
                done.set()
    # the superstep as a whole has failed, so the state never had the update
    assert chunks[1:] == [("custom", "fast"), ("updates", {"fast": {"log": ["fast"]}})]
    assert chunks[0][0] == "values" and chunks[0][1]["log"] == []


async def test_c22_the_error_comes_while_the_readers_body_waits_and_leaves_the_body_alone() -> None:
    seen = Recorder()

    async def bad(state: State, writer: Any) -> None:
        writer(1)
        await checkpoints(1)
        seen("raised")
        raise ValueError("boom")

    async with side_by_side(bad).astream({"n": 1}, stream_mode="custom") as run:
        with pytest.raises(ValueError, match="boom"):
            async for _ in run:
                await seen.wait_for("raised")
                await anyio.sleep(0.01)
                seen("body went on")
    assert seen == ["raised", "body went on"]


async def test_c22_after_the_error_the_stream_is_at_its_end() -> None:
    async def bad(state: State) -> None:
        raise ValueError("boom")

    stream = side_by_side(bad).astream({"n": 1})
    assert isinstance(await read(stream, []), ValueError)
    assert await collect(stream) == []
    with pytest.raises(RunCancelledError, match="boom"):
        await stream.result()


async def test_c22_result_raises_the_error_itself() -> None:
    boom = ValueError("boom")

    async def bad(state: State) -> None:
        raise boom

    async with side_by_side(bad).astream({"n": 1}) as run:
        with pytest.raises(ValueError) as caught:
            await run.result()
    assert caught.value is boom


# ---------------------------------------------------------------- 23, 24: several failures


async def test_c23_two_nodes_fail_and_the_first_wins() -> None:
    first, second = ValueError("first"), OSError("second")

    async def a(state: State) -> None:
        await checkpoints(1)
        raise first

    async def b(state: State) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException:
            raise second from None

    for graph in (side_by_side(a, b), side_by_side(b, a)):
        first.__context__ = second.__context__ = None
        first.__notes__ = []  # type: ignore[attr-defined]
        error = await read(graph.astream({"n": 1}), [])
        assert error is first
        assert error.__context__ is second
        assert "'b' failed as well" in notes(error) and "second" in notes(error)


async def test_c23_all_nodes_fail_in_one_tick_and_none_is_lost() -> None:
    def failing(name: str) -> Any:
        async def node(state: State) -> None:
            raise ValueError(name)

        return name, node

    error = await ainvoke_error(side_by_side(*map(failing, "abcd")))
    assert isinstance(error, ValueError)
    told = str(error) + notes(error)
    winners = [name for name in "abcd" if str(error) == name]
    assert len(winners) == 1
    # whoever was not cancelled before it ran has failed, too, and is told of
    assert all(f"Node {name!r} failed as well" in told for name in "abcd" if f"ValueError({name!r})" in told)


async def test_c23_no_group_is_ever_raised() -> None:
    async def a(state: State) -> None:
        raise ValueError("a")

    async def b(state: State) -> None:
        raise KeyError("b")

    async with anyio.create_task_group() as group:  # the caller's own group does not matter
        group.start_soon(anyio.sleep, 0)
        for error in (await ainvoke_error(side_by_side(a, b)), await read(side_by_side(a, b).astream({"n": 1}), [])):
            assert isinstance(error, (ValueError, KeyError))


async def test_c23_a_failure_with_a_context_of_its_own_keeps_it() -> None:
    async def a(state: State) -> None:
        await checkpoints(2)
        try:
            raise KeyError("reason")
        except KeyError as reason:
            raise ValueError("a") from reason

    async def b(state: State) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("b")

    error = await ainvoke_error(side_by_side(a, b))
    assert isinstance(error, ValueError) and isinstance(error.__cause__, KeyError)
    assert "OSError('b')" in notes(error)


@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
async def test_c24_an_error_in_a_siblings_cleanup_is_attached(strict: bool) -> None:
    async def a(state: State) -> None:
        await checkpoints(2)
        raise ValueError("a")

    async def b(state: State) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoints(3)
            raise OSError("cleanup")

    stream = side_by_side(a, b).astream({"n": 1})
    if strict:
        async with stream as run:
            error = await read(run, [])
    else:
        error = await read(stream, [])
    assert isinstance(error, ValueError)
    assert "OSError('cleanup')" in notes(error)


@pytest.mark.parametrize("handled", [False, True], ids=["retry", "handler"])
async def test_c24_an_error_in_a_siblings_cleanup_is_not_lost_to_retry_or_handler(handled: bool) -> None:
    seen = Recorder()

    async def a(state: State) -> None:
        await checkpoints(2)
        raise ValueError("a")

    async def b(state: State) -> None:
        seen("b")
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("cleanup")

    async def handler(state: State, error: NodeError) -> None:
        await checkpoints(1)
        seen("handled")

    options: dict[str, Any] = (
        {"error_handler": handler} if handled else {"retry_policy": RetryPolicy(retry_on=Exception)}
    )
    graph = StateGraph(State).add_node(a).add_node(b, **options).add_edge(START, "a").add_edge(START, "b").compile()
    error = await read(graph.astream({"n": 1}), [])
    assert isinstance(error, ValueError)
    assert "OSError('cleanup')" in notes(error)
    assert seen == ["b"]


@pytest.mark.parametrize("strict", [False, True], ids=["bare", "strict"])
async def test_c24_an_error_in_the_cleanup_after_the_reader_has_left_is_told(strict: bool, expected_noise: Any) -> None:
    async def node(state: State, writer: Any) -> None:
        try:
            writer(1)
            await anyio.sleep_forever()
        finally:
            raise OSError("cleanup")

    if strict:
        with pytest.raises(OSError, match="cleanup"):
            async with side_by_side(node).astream({"n": 1}, stream_mode="custom") as run:
                async for _ in run:
                    break
    else:
        expected_noise.log("penstock:ERROR:.*cleanup")
        stream = side_by_side(node).astream({"n": 1}, stream_mode="custom")
        await collect(stream, 1)
        await stream.aclose()


# ---------------------------------------------------------------- 25: errors around the nodes


def failing_reducer(left: list[Any], right: list[Any]) -> list[Any]:
    if "bad" in right:
        raise ZeroDivisionError("reducer")
    return left + right


class Reduced(TypedDict):
    log: Annotated[list[Any], failing_reducer]


async def test_c25_an_error_in_a_reducer() -> None:
    async def a(state: Reduced) -> Any:
        return {"log": ["bad"]}

    graph = StateGraph(Reduced).add_node(a).add_edge(START, "a").compile()
    chunks: list[Any] = []
    error = await read(graph.astream({"log": []}), chunks)
    assert isinstance(error, ZeroDivisionError)
    assert chunks == [{"a": {"log": ["bad"]}}]
    assert "'log'" in notes(error) and "'a'" in notes(error)
    with pytest.raises(ZeroDivisionError):
        await graph.ainvoke({"log": []})
    with pytest.raises(ZeroDivisionError):
        await graph.ainvoke({"log": ["bad"]})


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("at_start", [False, True], ids=["behind a node", "at the start"])
async def test_c25_an_error_in_a_router(kind: str, at_start: bool) -> None:
    boom = KeyError("no way")

    def route(state: State) -> str:
        get_stream_writer()("routing")
        raise boom

    async def aroute(state: State) -> str:
        return route(state)

    async def a(state: State) -> Any:
        return {"log": ["a"]}

    builder = StateGraph(State).add_node(a)
    if not at_start:
        builder.add_edge(START, "a")
    builder.add_conditional_edges(START if at_start else "a", route if kind == "sync" else aroute, ["a", END])
    chunks: list[Any] = []
    error = await read(builder.compile().astream({"n": 1}, stream_mode=BOTH), chunks)
    assert error is boom
    routing = ("custom", "routing")
    assert chunks == ([routing] if at_start else [routing, ("updates", {"a": {"log": ["a"]}})])


@pytest.mark.parametrize("chosen", [Send("nowhere", {}), "nowhere", None, START, [Send("a", {}), "nowhere"]])
async def test_c25_a_target_that_is_none(chosen: Any) -> None:
    async def a(state: State) -> Any:
        return {"log": ["a"]}

    graph = (
        StateGraph(State).add_node(a).add_edge(START, "a").add_conditional_edges("a", lambda state: chosen).compile()
    )
    chunks: list[Any] = []
    error = await read(graph.astream({"n": 1}), chunks)
    assert isinstance(error, UnknownTargetError)
    assert chunks == [{"a": {"log": ["a"]}}]
    assert "Node 'a' in the root graph" in notes(error)


async def test_c25_a_goto_and_a_return_value_that_make_no_sense() -> None:
    for value, kind in (
        (Command(goto="nowhere"), UnknownTargetError),
        (Command(graph="elsewhere"), InvalidUpdateError),
        (Command(graph=Command.PARENT), InvalidUpdateError),
        (Command(resume=1), InvalidUpdateError),
        (42, InvalidUpdateError),
        ("text", InvalidUpdateError),
        (Send("a", {}), InvalidUpdateError),
    ):

        async def a(state: State, value: Any = value) -> Any:
            return value

        error = await ainvoke_error(side_by_side(a))
        assert type(error) is kind, value
        assert "'a'" in str(error) + notes(error)


async def test_c25_two_nodes_write_one_key_without_a_reducer() -> None:
    async def a(state: State) -> Any:
        return {"n": 1}

    async def b(state: State) -> Any:
        return {"n": 2}

    chunks: list[Any] = []
    error = await read(side_by_side(a, b).astream({"n": 0}), chunks)
    assert isinstance(error, InvalidUpdateError) and "'n'" in str(error) and "'a'" in str(error)
    assert sorted(chunks, key=str) == [{"a": {"n": 1}}, {"b": {"n": 2}}]


class Checked(BaseModel):
    n: int = 0


@dataclass
class Strict:
    n: int
    m: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("negative")


async def test_c25_a_schema_that_refuses_the_state_names_the_node() -> None:
    async def break_it(state: Checked) -> Any:
        return {"n": "many"}

    async def never(state: Checked) -> Any:
        raise AssertionError

    graph = StateGraph(Checked).add_sequence([break_it, never]).add_edge(START, "break_it").compile()
    chunks: list[Any] = []
    error = await read(graph.astream({"n": 1}), chunks)
    assert type(error).__name__ == "ValidationError"
    assert chunks == [{"break_it": {"n": "many"}}]
    assert "'never'" in notes(error)
    error = await ainvoke_error(graph)
    assert "'never'" in notes(error)

    async def negative(state: Strict) -> Any:
        return {"n": -1}

    async def follows(state: Strict) -> Any:
        raise AssertionError

    dataclass_graph = StateGraph(Strict).add_sequence([negative, follows]).add_edge(START, "negative").compile()
    error = await read(dataclass_graph.astream({"n": 1, "m": 2}), [])
    assert isinstance(error, ValueError) and "'follows'" in notes(error)
    error = await read(dataclass_graph.astream({"n": 1}), [])  # m is missing
    assert isinstance(error, TypeError) and "'negative'" in notes(error)


async def test_c25_a_schema_that_refuses_to_be_shown() -> None:
    async def negative(state: Strict) -> Any:
        return {"n": -1}

    graph = StateGraph(Strict).add_node(negative).add_edge(START, "negative").compile()
    chunks: list[Any] = []
    error = await read(graph.astream({"n": 1, "m": 2}, stream_mode="values", version="v2"), chunks)
    assert isinstance(error, ValueError)
    assert [chunk["data"] for chunk in chunks] == [Strict(1, 2)]


def test_c25_mistakes_in_the_call_are_told_at_the_call() -> None:
    graph = side_by_side(("a", lambda state: None))
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"config": {"recursion_limit": 0}}),
        (TypeError, {"config": {"max_concurrency": "many"}}),
        (TypeError, {"config": ["not", "a", "dict"]}),
        (ValueError, {"config": {"recursion_limt": 5}}),
        (ValueError, {"stream_mode": "updatse"}),
        (ValueError, {"high_water_mark": 0}),
        (ValueError, {"overflow": "explode"}),
        (ValueError, {"overflow": {"updates": "raise"}}),
        (ValueError, {"output_keys": ["nothing"]}),
        (TypeError, {"contxt": 1}),
    ]
    for kind, options in wrong:
        with pytest.raises(kind):
            graph.astream({"n": 1}, **options)
        with pytest.raises(kind):
            graph.stream({"n": 1}, **options)
    with pytest.raises(InvalidUpdateError):
        graph.astream(17)
    with pytest.raises(GraphBuildError):
        StateGraph(State).compile()


async def test_c25_misuse_of_the_writer() -> None:
    async def twice(state: State, writer: Any) -> None:
        writer(1, 2)

    async def nothing(state: State, writer: Any) -> None:
        writer()

    for node in (twice, nothing):
        assert isinstance(await read(side_by_side(node).astream({"n": 1}, stream_mode="custom"), []), TypeError)

    async def flood(state: State, writer: Any) -> None:
        for i in range(10):
            writer(i)

    chunks: list[Any] = []
    stream = side_by_side(flood).astream({"n": 1}, stream_mode="custom", overflow="raise", high_water_mark=4)
    assert isinstance(await read(stream, chunks), StreamOverflowError)
    assert chunks == [0, 1, 2, 3]
    with pytest.raises(OutsideRunError):
        get_stream_writer()


async def test_c25_an_iterator_of_the_users_that_fails_inside_a_generator_node() -> None:
    boom = OSError("provider")

    async def provider() -> Any:
        yield 1
        raise boom

    async def node(state: State) -> Any:
        async for n in provider():
            yield {"n": n}

    def sync_node(state: State) -> Any:
        yield {"n": 1}
        raise boom

    for function in (node, sync_node):
        chunks: list[Any] = []
        assert await read(side_by_side(("node", function)).astream({"n": 0}), chunks) is boom
        assert chunks == [{"node": {"n": 1}}]


# ---------------------------------------------------------------- 26: exceptions that are special


class Quit(BaseException):
    pass


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, Quit])
@pytest.mark.parametrize("lone", [True, False], ids=["lone", "side by side"])
@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_c26_what_is_no_ordinary_exception_arrives_as_itself(
    kind: type[BaseException], lone: bool, sync: bool
) -> None:
    boom = kind("boom")
    seen = Recorder()

    async def raises(state: State, writer: Any) -> None:
        writer("before")
        await checkpoints(1)
        raise boom

    def sync_raises(state: State, writer: Any) -> None:
        writer("before")
        raise boom

    async def sibling(state: State) -> None:
        with seen.span("sibling"):
            await anyio.sleep_forever()

    nodes = [("raises", sync_raises if sync else raises)] + ([] if lone else [("sibling", sibling)])
    graph = side_by_side(*nodes)
    chunks: list[Any] = []
    assert await read(graph.astream({"n": 1}, stream_mode="custom"), chunks) is boom
    assert chunks == ["before"]
    async with graph.astream({"n": 1}, stream_mode="custom") as run:
        assert await read(run, []) is boom
    assert await ainvoke_error(graph) is boom
    assert seen == ([] if lone else ["sibling started", "sibling ended: cancelled"] * 3)


async def test_c26_ctrl_c_beats_an_error_that_came_first() -> None:
    async def a(state: State) -> None:
        await checkpoints(1)
        raise ValueError("a")

    async def b(state: State) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    error = await read(side_by_side(a, b).astream({"n": 1}), [])
    assert isinstance(error, KeyboardInterrupt)
    assert "ValueError('a')" in notes(error)


async def stray(state: State, writer: Any) -> None:
    """Raises a cancellation that nobody asked for."""
    writer("before")
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await checkpoints(1)
        except BaseException as error:
            kept = error
            raise
    raise kept


@pytest.mark.parametrize("lone", [True, False], ids=["lone", "side by side"])
async def test_c26_a_node_that_raises_a_cancellation_itself(lone: bool) -> None:
    seen = Recorder()

    async def sibling(state: State) -> None:
        with seen.span("sibling"):
            await anyio.sleep_forever()

    graph = side_by_side(stray) if lone else side_by_side(stray, sibling)
    chunks: list[Any] = []
    error = await read(graph.astream({"n": 1}, stream_mode="custom"), chunks)
    assert isinstance(error, NodeCancelledError) and "'stray'" in str(error)
    assert "Node 'stray' in the root graph, superstep 1" in notes(error)
    assert chunks == ["before"]
    assert isinstance(await ainvoke_error(graph), NodeCancelledError)
    assert seen == ([] if lone else ["sibling started", "sibling ended: cancelled"] * 2)


@pytest.mark.backends("asyncio", "asyncio+eager", "asyncio+uvloop")
@pytest.mark.parametrize("lone", [True, False], ids=["lone", "side by side"])
async def test_c26_a_node_that_is_cancelled_natively(lone: bool) -> None:
    async def cancels_itself(state: State) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def awaits_a_cancelled_future(state: State) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def plainly(state: State) -> None:
        raise asyncio.CancelledError

    async def sibling(state: State) -> None:
        await anyio.sleep_forever()

    for node in (cancels_itself, awaits_a_cancelled_future, plainly):
        graph = side_by_side(node) if lone else side_by_side(node, sibling)
        assert isinstance(await read(graph.astream({"n": 1}), []), NodeCancelledError)
        async with graph.astream({"n": 1}) as run:
            assert isinstance(await read(run, []), NodeCancelledError)
        if node is cancels_itself and lone:
            continue  # a lone node of ainvoke() runs in its caller's task, so it has cancelled its caller
        assert isinstance(await ainvoke_error(graph), NodeCancelledError)


async def test_c26_a_stray_cancellation_names_its_attempt() -> None:
    attempts: list[int] = []

    async def flaky(state: State, writer: Any) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError
        await stray(state, writer)

    graph = side_by_side(flaky, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    error = await read(graph.astream({"n": 1}), [])
    assert isinstance(error, NodeCancelledError)
    assert "attempt 2" in notes(error)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("where", ["async", "sync", "router", "reducer", "generator", "async generator"])
async def test_c26_what_would_end_the_readers_loop_in_silence(kind: type[Exception], where: str) -> None:
    def raise_it(*_: Any) -> Any:
        raise kind("boom")

    async def araise(state: State) -> None:
        raise_it()

    def generator(state: State) -> Any:
        yield {}
        raise_it()

    async def agenerator(state: State) -> Any:
        yield {}
        raise_it()

    def reducer(left: int, right: int) -> int:
        if right == 2:
            raise_it()
        return right

    odd = TypedDict("odd", {"n": Annotated[int, reducer]})

    async def fine(state: Any) -> Any:
        return {"n": 2}

    if where == "router":
        graph = (
            StateGraph(State).add_node(fine).add_edge(START, "fine").add_conditional_edges("fine", raise_it, [END])
        ).compile()
    elif where == "reducer":
        graph = StateGraph(odd).add_node(fine).add_edge(START, "fine").compile()
    else:
        nodes = {"async": araise, "sync": raise_it, "generator": generator, "async generator": agenerator}
        graph = side_by_side(("node", nodes[where]))
    for error in (
        await read(graph.astream({"n": 1}), []),
        await ainvoke_error(graph),
    ):
        assert type(error) is RuntimeError
        assert kind.__name__ in str(error)


# ---------------------------------------------------------------- 27: groups


@pytest.mark.parametrize("lone", [True, False], ids=["lone", "side by side"])
async def test_c27_a_group_of_the_users_own_passes_unchanged(lone: bool) -> None:
    inner = [ValueError("a"), KeyError("b")]
    own = ExceptionGroup("mine", inner)

    async def node(state: State) -> None:
        raise own

    async def sibling(state: State) -> None:
        await anyio.sleep_forever()

    graph = side_by_side(node) if lone else side_by_side(node, sibling)
    for error in (await read(graph.astream({"n": 1}), []), await ainvoke_error(graph)):
        assert error is own
        assert list(own.exceptions) == inner


async def test_c27_the_group_of_a_nodes_own_task_group_passes() -> None:
    async def node(state: State) -> None:
        async def child(error: Exception) -> None:
            raise error

        async with anyio.create_task_group() as group:
            group.start_soon(child, ValueError("child"))
            group.start_soon(anyio.sleep_forever)

    for error in (await read(side_by_side(node).astream({"n": 1}), []), await ainvoke_error(side_by_side(node))):
        assert isinstance(error, ExceptionGroup)
        assert [str(e) for e in error.exceptions] == ["child"]


async def test_c27_a_group_with_ctrl_c_in_it_passes() -> None:
    async def node(state: State) -> None:
        raise BaseExceptionGroup("mine", [KeyboardInterrupt(), ValueError("x")])

    error = await read(side_by_side(node).astream({"n": 1}), [])
    assert isinstance(error, BaseExceptionGroup)
    assert [type(e) for e in error.exceptions] == [KeyboardInterrupt, ValueError]


async def test_c27_in_cleanup_a_group_with_a_cancellation_leaves_only_the_error() -> None:
    async def bad(state: State) -> None:
        await checkpoints(2)
        raise ValueError("bad")

    async def node(state: State) -> None:
        async def child() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise OSError("child's cleanup")

        async with anyio.create_task_group() as group:
            group.start_soon(child)

    error = await read(side_by_side(bad, node).astream({"n": 1}), [])
    assert isinstance(error, ValueError)
    assert "child's cleanup" in notes(error) or "1 sub-exception" in notes(error)


# ---------------------------------------------------------------- 28: recursion limit


async def ticking(state: State, writer: Any) -> Any:
    n = state.get("n", 0) + 1
    writer(n)
    return {"n": n}


def loop_graph() -> Any:
    return StateGraph(State).add_node(ticking).add_edge(START, "ticking").add_edge("ticking", "ticking").compile()


async def test_c28_a_loop_without_an_end_after_all_its_chunks() -> None:
    chunks: list[Any] = []
    error = await read(loop_graph().astream({"n": 0}, {"recursion_limit": 4}, stream_mode=BOTH), chunks)
    assert type(error) is GraphRecursionError and isinstance(error, RecursionError)
    assert "recursion_limit" in str(error) and "4" in str(error)
    assert chunks == [c for n in (1, 2, 3, 4) for c in (("custom", n), ("updates", {"ticking": {"n": n}}))]
    with pytest.raises(GraphRecursionError):
        await loop_graph().ainvoke({"n": 0}, {"recursion_limit": 4})


async def test_c28_a_run_needs_a_limit_of_one_more_than_its_supersteps() -> None:
    graph = in_a_row(ticking, ("again", ticking))
    assert (await graph.ainvoke({"n": 0}, {"recursion_limit": 3}))["n"] == 2
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({"n": 0}, {"recursion_limit": 2})


@pytest.mark.parametrize("called", [False, True], ids=["as a node", "called"])
async def test_c28_in_a_subgraph(called: bool) -> None:
    inner = loop_graph()

    async def call(state: State) -> Any:
        return await inner.ainvoke(state)

    async def before(state: State, writer: Any) -> None:
        writer("before")

    graph = in_a_row(before, ("inner", call if called else inner))
    chunks: list[Any] = []
    error = await read(graph.astream({"n": 0}, {"recursion_limit": 5}, stream_mode="custom", subgraphs=True), chunks)
    assert isinstance(error, GraphRecursionError)
    assert [chunk for _, chunk in chunks] == ["before", 1, 2, 3, 4, 5]
    assert "During task with name 'inner'" in notes(error)


# ---------------------------------------------------------------- 29: attempts


def flaky(attempts: int, error: Exception | None = None) -> Any:
    """A node that fails until it is tried for the n-th time."""

    async def node(state: State, runtime: Runtime[Any], config: Any) -> Any:
        number = runtime.execution_info.node_attempt
        runtime.stream_writer(("before", number, config["metadata"].get("langgraph_attempt", 1)))
        await checkpoints(1)
        if number < attempts:
            raise error or ConnectionError(str(number))
        return {"log": [number]}

    return node


POLICY = RetryPolicy(initial_interval=0.01, backoff_factor=2.0, max_attempts=3, jitter=False)


async def test_c29_chunks_of_failed_attempts_are_delivered_and_marked() -> None:
    graph = side_by_side(("flaky", flaky(3)), retry_policy=POLICY)
    parts = await collect(graph.astream({"n": 1}, stream_mode=["custom", "updates", "tasks"], version="v2"))
    custom = [part for part in parts if part["type"] == "custom"]
    assert [part["data"] for part in custom] == [("before", 1, 1), ("before", 2, 2), ("before", 3, 3)]
    assert [part.get("attempt", 1) for part in custom] == [1, 2, 3]
    (ended,) = [part["data"] for part in parts if part["type"] == "tasks" and "result" in part["data"]]
    assert ended["attempt"] == 3 and ended["error"] is None and ended["result"] == {"log": [3]}
    assert [part["data"] for part in parts if part["type"] == "updates"] == [{"flaky": {"log": [3]}}]
    assert len([part for part in parts if part["type"] == "tasks"]) == 2


async def test_c29_chunks_of_failed_attempts_are_delivered_in_v1_too() -> None:
    graph = side_by_side(("flaky", flaky(3)), retry_policy=POLICY)
    chunks = await collect(graph.astream({"n": 1}, stream_mode="custom"))
    assert [number for _, number, _ in chunks] == [1, 2, 3]


async def test_c29_attempts_in_get_config_and_in_sync_nodes() -> None:
    seen: list[Any] = []

    def node(state: State, runtime: Runtime[Any]) -> Any:
        seen.append((runtime.execution_info.node_attempt, get_config()["metadata"].get("langgraph_attempt", 1)))
        if len(seen) < 3:
            raise ConnectionError

    await side_by_side(node, retry_policy=POLICY).ainvoke({"n": 1})
    assert seen == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.virtual_time
async def test_c29_back_off_grows() -> None:
    times: list[float] = []

    async def node(state: State) -> Any:
        times.append(anyio.current_time())
        raise ConnectionError

    policy = RetryPolicy(initial_interval=1.0, backoff_factor=3.0, max_interval=5.0, max_attempts=5, jitter=False)
    error = await ainvoke_error(side_by_side(node, retry_policy=policy))
    assert isinstance(error, ConnectionError)
    assert [b - a for a, b in zip(times, times[1:])] == pytest.approx([1, 3, 5, 5])


@pytest.mark.virtual_time
async def test_c29_jitter_adds_up_to_a_second() -> None:
    waits: set[float] = set()
    times: list[float] = []

    async def node(state: State) -> Any:
        times.append(anyio.current_time())
        raise ConnectionError

    policy = RetryPolicy(initial_interval=1.0, backoff_factor=1.0, max_attempts=6, jitter=True)
    await ainvoke_error(side_by_side(node, retry_policy=policy))
    waits = {b - a for a, b in zip(times, times[1:])}
    assert all(1 - 1e-9 <= wait <= 2 for wait in waits)
    assert len({round(wait, 6) for wait in waits}) > 1


async def test_c29_only_what_the_policy_names_is_tried_again() -> None:
    for retry_on, tried in (
        (KeyError, 3),
        ([OSError, KeyError], 3),
        (lambda error: "again" in str(error), 3),
        (OSError, 1),
    ):
        count: list[int] = []

        async def node(state: State, count: Any = count) -> Any:
            count.append(1)
            raise KeyError("again")

        policy = POLICY._replace(initial_interval=0.001, retry_on=retry_on)
        assert isinstance(await ainvoke_error(side_by_side(("node", node), retry_policy=policy)), KeyError)
        assert len(count) == tried


async def test_c29_a_predicate_that_fails_itself() -> None:
    def retry_on(error: Exception) -> bool:
        raise RuntimeError("predicate") from error

    async def node(state: State) -> Any:
        raise ValueError("node")

    error = await read(side_by_side(node, retry_policy=RetryPolicy(retry_on=retry_on)).astream({"n": 1}), [])
    assert isinstance(error, RuntimeError) and isinstance(error.__cause__, ValueError)


async def test_c29_a_sibling_goes_on_while_a_node_waits_to_be_tried_again() -> None:
    seen = Recorder()

    async def sibling(state: State) -> Any:
        await seen.wait_for(1)
        seen("sibling")

    async def node(state: State, runtime: Runtime[Any]) -> Any:
        seen(runtime.execution_info.node_attempt)
        if runtime.execution_info.node_attempt == 1:
            raise ConnectionError

    graph = side_by_side(sibling, node, retry_policy=POLICY._replace(initial_interval=0.05))
    await graph.ainvoke({"n": 1})
    assert seen == [1, "sibling", 2]


@pytest.mark.virtual_time
@pytest.mark.parametrize("seconds", [2.0, timedelta(seconds=2)])
async def test_c29_a_timeout_comes_after_the_nodes_cleanup(seconds: Any) -> None:
    seen = Recorder()

    async def slow(state: State, writer: Any) -> Any:
        try:
            writer("before")
            await anyio.sleep(60)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
            writer("cleanup")
            seen(anyio.current_time() - start)

    graph = side_by_side(slow, timeout=seconds)
    for _ in range(2):
        start = anyio.current_time()
        chunks: list[Any] = []
        error = await read(graph.astream({"n": 1}, stream_mode="custom"), chunks)
        assert type(error) is NodeTimeoutError and isinstance(error, TimeoutError)
        assert (error.node, error.seconds) == ("slow", 2.0)
        assert "Node 'slow' in the root graph, superstep 1, attempt 1" in notes(error)
        assert chunks == ["before", "cleanup"]
        assert seen.marks.pop() == pytest.approx(7)
        assert anyio.current_time() - start == pytest.approx(7)
    assert isinstance(await ainvoke_error(graph), NodeTimeoutError)


@pytest.mark.virtual_time
async def test_c29_a_timeout_is_told_from_the_nodes_own_and_the_callers() -> None:
    async def own(state: State) -> Any:
        with anyio.fail_after(1):
            await anyio.sleep(60)

    async def slow(state: State) -> Any:
        await anyio.sleep(60)

    error = await ainvoke_error(side_by_side(own, timeout=5))
    assert type(error) is TimeoutError
    with pytest.raises(TimeoutError) as caught:
        with anyio.fail_after(1):
            await side_by_side(slow, timeout=5).ainvoke({"n": 1})
    assert type(caught.value) is TimeoutError


@pytest.mark.virtual_time
async def test_c29_a_timeout_can_be_tried_again() -> None:
    async def node(state: State, runtime: Runtime[Any]) -> Any:
        await anyio.sleep(60 if runtime.execution_info.node_attempt == 1 else 0.1)
        return {"n": 7}

    policy = POLICY._replace(initial_interval=1.0, retry_on=NodeTimeoutError)
    start = anyio.current_time()
    assert (await side_by_side(node, timeout=2, retry_policy=policy).ainvoke({"n": 1}))["n"] == 7
    assert anyio.current_time() - start == pytest.approx(2 + 1 + 0.1)


@pytest.mark.virtual_time
async def test_c29_a_nodes_failure_beats_its_timeout() -> None:
    async def node(state: State) -> Any:
        try:
            await anyio.sleep(60)
        except BaseException:
            raise OSError("cleanup") from None

    assert isinstance(await ainvoke_error(side_by_side(node, timeout=1)), OSError)


@pytest.mark.virtual_time
async def test_c29_a_send_brings_its_own_timeout() -> None:
    async def work(state: Any) -> Any:
        await anyio.sleep(state["seconds"])
        return {"log": [state["seconds"]]}

    builder = StateGraph(State).add_node("work", work, timeout=1)
    fine = builder.add_conditional_edges(START, lambda s: [Send("work", {"seconds": 3}, timeout=5)]).compile()
    assert (await fine.ainvoke({"n": 1}))["log"] == [3]


async def paused_by_the_reader(writes: Any) -> list[Any]:
    """Streams a node with a timeout of 2 s to a reader that takes 5 s per chunk."""
    graph = side_by_side(("node", writes), timeout=2)
    chunks = []
    async for chunk in graph.astream({"n": 1}, stream_mode=BOTH, high_water_mark=2):
        chunks.append(chunk)
        await anyio.sleep(5)
    return chunks


@pytest.mark.virtual_time
async def test_c29_the_timeout_stands_still_while_the_reader_holds_the_node_back() -> None:
    async def awaited(state: State, writer: Any) -> Any:
        for i in range(10):
            await writer(i)

    async def plain(state: State, writer: Any) -> Any:
        for i in range(10):
            writer(i)
            await checkpoints(1)

    async def child(state: State, writer: Any) -> Any:
        async def write() -> None:
            for i in range(10):
                await writer(i)

        async with anyio.create_task_group() as group:
            group.start_soon(write)

    async def generator(state: State) -> Any:
        for i in range(10):
            yield {"n": i}

    for node in (awaited, plain, child, generator):
        chunks = await paused_by_the_reader(node)
        assert len([c for c in chunks if c != ("updates", {"node": None})]) == 10, node.__name__


@pytest.mark.virtual_time
async def test_c29_the_timeout_of_a_subgraph_stands_still_too() -> None:
    async def leaf(state: State, writer: Any) -> Any:
        for i in range(10):
            await writer(i)

    def sync_leaf(state: State, writer: Any) -> Any:
        for i in range(10):
            writer(i)

    inner = side_by_side(leaf)

    async def calls(state: State) -> Any:
        return await inner.ainvoke(state)

    for node in (inner, calls, side_by_side(sync_leaf)):
        graph = side_by_side(("outer", node), timeout=2)
        chunks = []
        async for _, chunk in graph.astream({"n": 1}, stream_mode="custom", high_water_mark=2, subgraphs=True):
            chunks.append(chunk)
            await anyio.sleep(5)
        assert chunks == list(range(10))


@pytest.mark.virtual_time
async def test_c29_the_timeout_of_a_node_that_is_a_slow_reader_itself_goes_on() -> None:
    async def leaf(state: State, writer: Any) -> Any:
        for i in range(10):
            await writer(i)

    inner = side_by_side(leaf)

    async def reads(state: State) -> Any:
        async with inner.astream(state, stream_mode="custom", high_water_mark=2) as run:
            async for _ in run:
                await anyio.sleep(1)

    assert isinstance(await ainvoke_error(side_by_side(reads, timeout=5)), NodeTimeoutError)


@pytest.mark.virtual_time
async def test_c29_a_timeout_still_strikes_a_node_that_was_held_back() -> None:
    async def node(state: State, writer: Any) -> Any:
        for i in range(10):
            await writer(i)
        await anyio.sleep(60)

    graph = side_by_side(node, timeout=2)
    chunks = []
    with pytest.raises(NodeTimeoutError):
        async for chunk in graph.astream({"n": 1}, stream_mode="custom", high_water_mark=2):
            chunks.append(chunk)
            await anyio.sleep(1)
    assert chunks == list(range(10))


async def test_c29_an_error_handler_takes_over() -> None:
    seen: list[Any] = []

    async def bad(state: State, writer: Any) -> Any:
        writer("bad")
        raise ValueError("boom")

    async def handler(state: State, writer: Any, error: NodeError) -> Any:
        seen.append(error)
        writer("handled")
        return {"log": [f"{error.node}: {error.error}"]}

    async def after(state: State) -> Any:
        return {"log": ["after"]}

    graph = (
        StateGraph(State)
        .add_node("bad", bad, error_handler=handler, retry_policy=RetryPolicy(retry_on=OSError))
        .add_node(after)
        .add_edge(START, "bad")
        .add_conditional_edges(START, lambda s: END)
        .add_edge("after", END)
        .add_conditional_edges("bad", lambda s: "after", ["after"])
        .compile()
    )
    chunks = await collect(graph.astream({"n": 1}, stream_mode=["custom", "values"]))
    assert [c for mode, c in chunks if mode == "custom"] == ["bad", "handled"]
    assert chunks[-1][1]["log"][0] == "bad: boom"
    assert isinstance(seen[0], NodeError) and isinstance(seen[0].error, ValueError)


async def test_c29_an_error_handler_that_fails() -> None:
    async def bad(state: State) -> Any:
        raise ValueError("boom")

    async def handler(state: State, error: NodeError) -> Any:
        raise OSError("handler") from error.error

    error = await read(side_by_side(bad, error_handler=handler).astream({"n": 1}), [])
    assert isinstance(error, OSError) and isinstance(error.__cause__, ValueError)
    assert "__error_handler__bad" in notes(error)


# ---------------------------------------------------------------- 30: reader and node fail together


class ReaderError(Exception):
    pass


async def fails_soon(state: State, writer: Any) -> None:
    writer(1)
    await checkpoints(1)
    raise ValueError("node")


async def test_c30_reader_and_node_fail_strict(expected_noise: Any) -> None:
    expected_noise.log("penstock:ERROR:.*node")
    with pytest.raises(ReaderError) as caught:
        async with side_by_side(fails_soon).astream({"n": 1}, stream_mode="custom") as run:
            async for _ in run:
                await anyio.sleep(0.01)  # the node has failed by now
                raise ReaderError
    assert isinstance(caught.value.__context__, ValueError)


async def test_c30_reader_and_node_fail_bare(expected_noise: Any) -> None:
    expected_noise.log("penstock:ERROR:.*node")

    async def consume() -> None:
        async for _ in side_by_side(fails_soon).astream({"n": 1}, stream_mode="custom"):
            await anyio.sleep(0.01)  # the node has failed by now
            raise ReaderError

    try:
        await consume()
    except ReaderError as error:
        assert error.__context__ is None
    else:
        raise AssertionError
    await checkpoints(5)


async def test_c30_the_nodes_cleanup_fails_because_the_reader_does(expected_noise: Any) -> None:
    async def node(state: State, writer: Any) -> None:
        writer(1)
        try:
            await anyio.sleep_forever()
        finally:
            raise OSError("cleanup")

    expected_noise.log("penstock:ERROR:.*cleanup")
    with pytest.raises(ReaderError) as caught:
        async with side_by_side(node).astream({"n": 1}, stream_mode="custom") as run:
            async for _ in run:
                raise ReaderError
    assert isinstance(caught.value.__context__, OSError)


def test_c30_reader_and_node_fail_in_the_sync_api(expected_noise: Any) -> None:
    expected_noise.log("penstock:ERROR:.*node")
    failed = threading.Event()

    async def node(state: State, writer: Any) -> None:
        writer(1)
        await checkpoints(1)
        failed.set()
        raise ValueError("node")

    def consume() -> None:
        for _ in side_by_side(node).stream({"n": 1}, stream_mode="custom"):
            assert failed.wait(10)
            raise ReaderError

    with pytest.raises(ReaderError):
        consume()


async def test_c30_an_error_the_strict_reader_never_fetched_is_raised_at_the_exit() -> None:
    boom = ValueError("node")

    async def node(state: State, writer: Any) -> None:
        writer(1)
        raise boom

    with pytest.raises(ValueError) as caught:
        async with side_by_side(node).astream({"n": 1}, stream_mode="custom") as run:
            async for _ in run:
                await anyio.sleep(0.01)
                break
    assert caught.value is boom


async def test_c30_an_unfetched_error_is_logged_when_the_stream_is_closed(expected_noise: Any) -> None:
    expected_noise.log("penstock:ERROR:.*node")
    stream = side_by_side(fails_soon).astream({"n": 1}, stream_mode="custom")
    await collect(stream, 1)
    await anyio.sleep(0.01)
    await stream.aclose()
    await stream.aclose()


async def test_c30_writing_after_the_end_is_an_error_of_the_writers_own() -> None:
    kept: list[Any] = []

    async def keeps(state: State, writer: Any) -> None:
        kept.append(writer)

    async def writes(state: State) -> None:
        kept[0]("late")

    error = await read(in_a_row(keeps, writes).astream({"n": 1}, stream_mode="custom"), [])
    assert isinstance(error, StreamClosedError)

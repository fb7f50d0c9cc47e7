"""What flows piece by piece, and how a stream ends."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import pytest

from penstock.errors import StreamBusyError
from penstock.graph import START, MessagesState, StateGraph
from penstock.messages import AIMessage
from penstock.runnables import JsonOutputParser, RunnableLambda, RunnableParallel, RunnablePassthrough, StrOutputParser
from penstock.testing import ScriptedChatModel

from ._steps import Source, exclaim, upper


async def test_text_flows_through_parsers_and_generators() -> None:
    chain = ScriptedChatModel(["a b"], cycle=True) | StrOutputParser() | upper | exclaim
    assert [piece async for piece in chain.astream("x")] == ["A!", " B!", "!"]
    assert await chain.ainvoke("x") == "A B!"


async def test_each_piece_arrives_before_the_next_is_made() -> None:
    source = Source()
    seen: list[Any] = []
    async with (source.step | upper | StrOutputParser()).astream(None) as pieces:
        async for piece in pieces:
            seen.append((piece, list(source.given)))
    assert seen == [(str(n), list(range(n + 1))) for n in range(5)]


async def test_a_plain_function_waits_for_the_whole_input_and_gets_a_whole_message() -> None:
    got: list[Any] = []
    chain = ScriptedChatModel(["a b"]) | (lambda message: got.append(message) or message.text)
    assert [piece async for piece in chain.astream("x")] == ["a b"]
    assert type(got[0]) is AIMessage


async def test_parallel_branches_stream_and_add_up() -> None:
    source = Source(3)
    chain = source.step | RunnableParallel(up=upper, count=lambda text: len(text), raw=RunnablePassthrough())
    pieces = [piece async for piece in chain.astream(None)]
    assert [piece["up"] for piece in pieces if "up" in piece] == ["0", "1", "2"]
    assert [piece["raw"] for piece in pieces if "raw" in piece] == ["0", "1", "2"]
    assert [piece["count"] for piece in pieces if "count" in piece] == [3]
    whole = chain | (lambda found: found)
    assert [piece async for piece in whole.astream(None)] == [{"up": "012", "count": 3, "raw": "012"}]
    assert source.closed == 2


async def test_a_parallel_step_holds_its_source_back() -> None:
    source = Source(100)
    async with (source.step | {"a": upper, "b": upper}).astream(None) as pieces:
        async for _ in pieces:
            break
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert len(source.given) < 10
    assert source.closed == 1


async def test_a_branch_that_stops_reading_does_not_hold_up_the_others() -> None:
    async def first(pieces: Any) -> Any:
        async for piece in pieces:
            yield piece
            return

    chain = Source(4).step | {"first": first, "all": upper}
    whole = chain | (lambda found: found)
    assert [piece async for piece in whole.astream(None)] == [{"first": "0", "all": "0123"}]


async def test_assign_passes_its_input_on_while_it_streams() -> None:
    chain = RunnableParallel(a=Source(2).step, b=lambda _: 1) | RunnablePassthrough.assign(
        b=lambda d: d["a"] + "!", c=lambda d: d["b"]
    )
    pieces = [piece async for piece in chain.astream(None)]
    assert pieces[:2] == [{"a": "0"}, {"a": "1"}]
    assert sorted(str(piece) for piece in pieces[2:]) == ["{'b': '01!'}", "{'c': 1}"]


async def test_json_streams_as_far_as_it_goes() -> None:
    chain = ScriptedChatModel([["```json\n", '{"a": [1', ', 2], "b": "x', 'y"}', "\n```"]]) | JsonOutputParser()
    seen = [piece async for piece in chain.astream("x")]
    assert seen[-1] == {"a": [1, 2], "b": "xy"}
    assert {"a": [1, 2], "b": "x"} in seen
    assert len({id(piece) for piece in seen}) == len(seen)


async def test_leaving_early_ends_everything() -> None:
    source, other = Source(), Source(pause=0)
    chain = source.step | {"a": upper, "b": other.step}
    async with chain.astream(None) as pieces:
        async for _ in pieces:
            break
    assert source.closed == 1
    assert other.closed in (0, 1)
    assert [piece async for piece in pieces] == []


async def test_a_bare_loop_may_be_left() -> None:
    source = Source()
    async for _ in (source.step | {"a": upper}).astream(None):
        break
    gc.collect()
    with anyio.fail_after(5):
        while not source.closed:
            await anyio.sleep(0)


async def test_closing_from_another_task_any_number_of_times() -> None:
    source = Source()
    pieces = source.step.astream(None)
    await pieces.__anext__()
    async with anyio.create_task_group() as group:
        group.start_soon(pieces.aclose)
        group.start_soon(pieces.aclose)
    await pieces.aclose()
    assert source.closed == 1
    unstarted = source.step.astream(None)
    await unstarted.aclose()
    assert [piece async for piece in unstarted] == []


@pytest.mark.virtual_time
async def test_a_cancelled_reader_resumes_after_the_cleanup() -> None:
    source = Source(pause=10)
    with anyio.move_on_after(1) as scope:
        async for _ in (source.step | {"a": upper}).astream(None):
            pass
    assert scope.cancelled_caught
    assert source.closed == 1


async def test_an_error_comes_after_the_pieces_before_it() -> None:
    async def breaks(pieces: Any) -> Any:
        async for piece in pieces:
            if piece == "2":
                raise LookupError("two")
            yield piece

    source = Source()
    seen: list[str] = []
    with pytest.raises(LookupError, match="two") as caught:
        async for piece in (source.step | breaks).astream(None):
            seen.append(piece)
    assert seen == ["0", "1"]
    assert source.closed == 1
    assert caught.value.__context__ is None


async def test_an_error_in_a_plain_generator_comes_as_itself() -> None:
    def breaks(pieces: Any) -> Any:
        for piece in pieces:
            if piece == "1":
                raise LookupError("one")
            yield piece

    source = Source()
    with pytest.raises(LookupError, match="one"):
        async for _ in (source.step | breaks).astream(None):
            pass
    assert source.closed == 1


@pytest.mark.virtual_time
async def test_a_plain_generator_that_waits_for_its_input_can_be_cancelled() -> None:
    source = Source(pause=10)
    ended: list[bool] = []

    def watch(pieces: Any) -> Any:
        try:
            yield from pieces
        finally:
            ended.append(True)

    with anyio.move_on_after(15) as scope:
        async for _ in (source.step | watch).astream(None):
            pass
    assert scope.cancelled_caught
    assert (source.closed, ended) == (1, [True])


async def test_two_readers_are_one_too_many() -> None:
    async def forever(_: Any) -> None:
        await anyio.sleep_forever()

    stream = RunnableLambda(forever).astream(None)
    async with anyio.create_task_group() as group:
        group.start_soon(stream.__anext__)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        with pytest.raises(StreamBusyError):
            await stream.__anext__()
        group.cancel_scope.cancel()


async def test_retry_and_fallback_begin_again_only_before_the_first_piece() -> None:
    attempts: list[int] = []

    async def shaky(pieces: Any) -> Any:
        async for piece in pieces:
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError("lost")
            yield piece

    async def late(pieces: Any) -> Any:
        async for piece in pieces:
            yield piece
            raise ConnectionError("late")

    retrying = RunnableLambda(shaky).with_retry(wait_exponential_jitter=False)
    assert [piece async for piece in retrying.astream("x")] == ["x"]
    seen: list[str] = []
    with pytest.raises(ConnectionError, match="late"):
        async for piece in RunnableLambda(late).with_fallbacks([upper]).astream("x"):
            seen.append(piece)
    assert seen == ["x"]


async def test_a_stream_kept_beyond_its_node_ends_with_the_node() -> None:
    source = Source()
    kept: list[Any] = []

    async def talk(state: MessagesState) -> Any:
        stream = source.step.astream(None)
        kept.append(stream)
        await stream.__anext__()

    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    await graph.ainvoke({"messages": []})
    assert source.closed == 1
    assert [piece async for piece in kept[0]] == []


async def test_a_cancelled_graph_waits_for_the_chains_in_its_nodes() -> None:
    source = Source(100)

    async def talk(state: MessagesState, writer: Any) -> Any:
        async for piece in (source.step | {"a": upper}).astream(None):
            await writer(piece)

    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    async with graph.astream({"messages": []}, stream_mode="custom") as run:
        async for _ in run:
            break
    assert source.closed == 1


def test_leaving_a_sync_loop_ends_everything() -> None:
    source = Source()
    with (source.step | {"a": upper}).stream(None) as pieces:
        for _ in pieces:
            break
    assert source.closed == 1


async def test_dropping_a_bare_stream_needs_no_collector() -> None:
    source = Source()
    gc.collect()
    gc.disable()
    try:
        async for _ in (source.step | {"a": upper, "b": upper}).astream(None):
            break
        with anyio.fail_after(5):
            while not source.closed:
                await anyio.sleep(0)
        for _ in range(20):  # the branches end after their source
            await anyio.lowlevel.checkpoint()
    finally:
        gc.enable()


@pytest.mark.backends("asyncio")
async def test_a_native_cancellation_of_the_reader_waits_for_the_cleanup() -> None:
    import asyncio

    source = Source(pause=1000)

    async def read() -> None:
        async for _ in (source.step | {"a": upper}).astream(None):
            pass

    task = asyncio.get_running_loop().create_task(read())
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1


@pytest.mark.backends("asyncio")
@pytest.mark.parametrize("parallel", [True, False])
async def test_a_stray_cancellation_of_a_step_is_an_error_and_no_silent_end(parallel: bool) -> None:
    import asyncio

    async def stray(_: Any) -> None:
        raise asyncio.CancelledError

    step: Any = RunnableParallel(a=stray, b=str) if parallel else RunnableLambda(stray)
    with pytest.raises((RuntimeError, asyncio.CancelledError)):
        async for _ in step.astream(None):
            pass
    with pytest.raises((RuntimeError, asyncio.CancelledError)):
        await step.ainvoke(None)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_an_error_of_the_cleanup_of_a_closed_stream_is_logged(cancelled: bool, expected_noise: Any) -> None:
    expected_noise.log(r"penstock:ERROR:error while a chain's stream was being closed \(OSError\('cannot close'\)\)")

    async def bad(pieces: Any) -> Any:
        try:
            async for piece in pieces:
                yield piece
            await anyio.sleep_forever()
        finally:
            raise OSError("cannot close")

    with anyio.CancelScope() as scope:
        async with RunnableLambda(bad).astream("x") as stream:
            await stream.__anext__()
            if cancelled:
                scope.cancel()
                await stream.__anext__()


async def test_errors_of_two_branches_one_is_raised() -> None:
    async def fails(_: Any) -> None:
        raise KeyError("one")

    step = RunnableParallel(a=fails, b=fails)
    with pytest.raises(KeyError):
        await step.ainvoke(1)
    with pytest.raises(KeyError):
        async for _ in step.astream(1):
            pass

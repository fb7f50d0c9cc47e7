"""Mistakes a type checker must find; never run, checked by `nox -s types`.

Each line carries an ignore of the expected error: mypy's `warn_unused_ignores` and pyright's
`reportUnnecessaryTypeIgnoreComment` fail when the error is not reported.
"""

# mypy: disable-error-code="unused-awaitable"

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import TypedDict

from penstock.graph import START, CompiledStateGraph, StateGraph
from penstock.runtime import Runtime
from penstock.types import Only, RetryPolicy, Send, StreamWriter


class State(TypedDict):
    text: str


@dataclass
class Ctx:
    name: str


def building(builder: StateGraph[State]) -> None:
    StateGraph()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    StateGraph("State")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    StateGraph(State, input_schema="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    builder.add_node()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    builder.add_node("name")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    builder.add_node(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    builder.add_node("n", print, timeout="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    builder.add_node("n", print, retries=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    builder.add_edge(START)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    builder.add_edge(START, ["a", "b"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    builder.add_edge(1, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    builder.add_conditional_edges("a", "b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    builder.add_conditional_edges("a", print, "b", "c")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    builder.add_sequence(["a"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    builder.compile(debug=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    builder.ainvoke({})  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    RetryPolicy(attempts=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Send("node")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def streaming(graph: CompiledStateGraph[State]) -> None:
    graph.astream()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    graph.astream({}, stream_mode="updatse")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, stream_mode=["updatse"])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, stream_modes="updates")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    graph.astream({}, version="v3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, subgraphs="yes")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, high_water_mark="9")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, overflow="drop")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, run_ahead=None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.astream({}, only=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.stream({}, stream_mode="updatse")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.stream({}, version="v3")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    graph.invoke({}, subgraphs=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Only(node=["a"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    for _ in graph.astream({}):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def reading(graph: CompiledStateGraph[State]) -> None:
    async for _ in graph.stream({}):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    async for chunk in graph.astream({}):
        chunk.missing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    async for part in graph.astream({}, version="v2"):
        part["typ"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues]
    graph.ainvoke({})  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


def in_a_node(runtime: Runtime[Ctx], bare: Runtime, writer: StreamWriter) -> None:
    runtime.context.nmae  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    bare.context.name  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    writer()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    writer(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

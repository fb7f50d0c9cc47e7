"""Random graphs, in two executions: a real one, and a naive sequential one that says what is to be expected.

Nodes name what they do after what they see of the state, so that each task of a run is one of a kind:

* a node writes some `custom` chunks `(task, i)` and adds `task`, its own name and a digest of its input, to the log;
* a router decides by the length of the log it sees, and ends every path once that is long enough.
"""

from __future__ import annotations

import operator
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import anyio
import anyio.lowlevel
from hypothesis import strategies as st

from penstock.graph import END, START, CompiledStateGraph, StateGraph
from penstock.types import Command, Send, StreamWriter
from tests.support import checkpoints

LONGEST = 10
"""Length of the log from which on routers end their paths."""


class State(TypedDict):
    log: Annotated[list[str], operator.add]


# -------------------------------------------------------------------- descriptions


@dataclass
class Node:
    """A node: how it writes, and where it sends the run next."""

    name: str
    chunks: int = 0
    style: str = "plain"
    pauses: int = 0
    defer: bool = False
    graph: Graph | None = None
    routes: list[list[str]] = field(default_factory=list)
    sends: bool = False
    by_command: bool = False


@dataclass
class Graph:
    """Nodes, edges (forwards only), joins, and where it starts."""

    nodes: list[Node]
    edges: list[tuple[str, str]]
    joins: list[tuple[tuple[str, ...], str]]
    entry: list[str]


def task_name(node: str, log: Sequence[str]) -> str:
    """What a task calls itself: no other of its graph run sees the same."""
    return f"{node}#{zlib.crc32(repr(log).encode()):08x}"


def choose(node: Node, log: Sequence[str]) -> list[Any]:
    """What a node's router returns."""
    if not node.routes or len(log) >= LONGEST:
        return []
    targets = node.routes[len(log) % len(node.routes)]
    if not node.sends:
        return targets
    return [Send(t, {"log": [*log, f"send {i}"]}) for i, t in enumerate(targets)]


@st.composite
def graphs(draw: st.DrawFn, *, depth: int = 1, threads: bool = True) -> Graph:
    """Random graphs of up to five nodes, with subgraphs down to `depth`."""
    names = list("abcde"[: draw(st.integers(1, 5))])
    any_name = st.sampled_from(names)
    edges = [(a, b) for a in names for b in names if a < b and draw(st.integers(0, 3)) == 0]
    joins = []
    if len(names) > 2 and draw(st.booleans()):
        sources = draw(st.lists(st.sampled_from(names[:-1]), min_size=2, max_size=3, unique=True))
        joins.append((tuple(sources), names[-1]))
    styles = ["plain", "awaited", "paused", "children", "thread" if threads else "plain"]
    nodes = []
    for name in names:
        node = Node(name, draw(st.integers(0, 4)), draw(st.sampled_from(styles)), draw(st.integers(0, 3)))
        node.defer = draw(st.integers(0, 7)) == 0
        if depth and draw(st.integers(0, 3)) == 0:
            node.graph = draw(graphs(depth=depth - 1, threads=threads))
        if draw(st.integers(0, 2)) == 0:
            node.routes = draw(st.lists(st.lists(any_name, max_size=3), min_size=1, max_size=3))
            node.sends = draw(st.booleans())
            node.by_command = node.graph is None and draw(st.booleans())
        nodes.append(node)
    return Graph(nodes, edges, joins, draw(st.lists(any_name, min_size=1, max_size=3, unique=True)))


# -------------------------------------------------------------------- the real thing


def build(graph: Graph) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph, ready to run."""
    builder = StateGraph(State)
    for node in graph.nodes:
        builder.add_node(node.name, _action(node), defer=node.defer)
        if node.routes and not node.by_command:
            builder.add_conditional_edges(node.name, _router(node))
    for start, end in graph.edges:
        builder.add_edge(start, end)
    for sources, end in graph.joins:
        builder.add_edge(sources, end)
    for name in graph.entry:
        builder.add_edge(START, name)
    # A router that might go anywhere makes every node reachable, as far as anybody can tell.
    builder.add_conditional_edges(START, lambda state: END)
    return builder.compile()


def _router(node: Node) -> Any:
    def route(state: State) -> Any:
        return choose(node, state["log"])

    return route


def _action(node: Node) -> Any:
    if node.graph is not None:
        return build(node.graph)
    return _sync_action(node) if node.style == "thread" else _async_action(node)


def _result(node: Node, state: State, task: str) -> Any:
    if not node.by_command:
        return {"log": [task]}
    return Command(update={"log": [task]}, goto=choose(node, [*state["log"], task]))


def _sync_action(node: Node) -> Any:
    def action(state: State, writer: StreamWriter) -> Any:
        task = task_name(node.name, state["log"])
        for i in range(node.chunks):
            writer((task, i))
        return _result(node, state, task)

    return action


def _async_action(node: Node) -> Any:
    async def action(state: State, writer: StreamWriter) -> Any:
        task = task_name(node.name, state["log"])
        await checkpoints(node.pauses)
        if node.style == "children":
            await _write_from_children(writer, task, node.chunks)
        else:
            for i in range(node.chunks):
                receipt = writer((task, i))
                if node.style == "awaited":
                    await receipt
                elif node.style == "paused":
                    await anyio.lowlevel.checkpoint()
        return _result(node, state, task)

    return action


async def _write_from_children(writer: StreamWriter, task: str, chunks: int) -> None:
    """One child after the other writes, so that the order is known."""
    for i in range(chunks):
        async with anyio.create_task_group() as group:
            group.start_soon(_write, writer, (task, i))


async def _write(writer: StreamWriter, chunk: Any) -> None:
    await writer(chunk)


# -------------------------------------------------------------------- the model


@dataclass
class Ran:
    """One task as the model ran it."""

    node: Node
    task: str
    update: list[str]
    below: GraphRan | None = None

    @property
    def chunks(self) -> int:
        """How many chunks it gives, those of graphs below it included."""
        return 1 + (self.node.chunks if self.below is None else self.below.chunks)


@dataclass
class GraphRan:
    """One graph run as the model ran it: its tasks, superstep by superstep, and the log after each."""

    start: list[str]
    steps: list[list[Ran]] = field(default_factory=list)
    logs: list[list[str]] = field(default_factory=list)

    @property
    def log(self) -> list[str]:
        """The final log."""
        return self.logs[-1] if self.logs else self.start

    @property
    def chunks(self) -> int:
        """How many chunks it gives: one `values` for the input and for each superstep, and those of the tasks."""
        return 1 + sum(1 + sum(t.chunks for t in step) for step in self.steps)


class TooBig(Exception):
    """The graph goes on for too long to be worth running."""


def simulate(graph: Graph, start: list[str]) -> GraphRan:
    """Run a graph the naive way: one task after the other, all lists and loops.

    Raises:
        TooBig: it has more than a few supersteps, or its log has grown too long.
    """
    ran = GraphRan(start)
    nodes = {n.name: n for n in graph.nodes}
    due, sends, arrived = set(graph.entry), list[Send](), dict[int, set[str]]()
    deferred: set[str] = set()
    log = start
    while True:
        deferred |= {n for n in due if nodes[n].defer}
        due = {n for n in due if not nodes[n].defer}
        if not due and not sends:
            due, deferred = deferred, set()
            done = [i for i, (sources, end) in enumerate(graph.joins) if end in due and arrived.get(i) == set(sources)]
            arrived = {i: names for i, names in arrived.items() if i not in done}
        if not due and not sends:
            return ran
        tasks = [_simulate_task(nodes[n], log) for n in sorted(due)]
        tasks += [_simulate_task(nodes[s.node], s.arg["log"]) for s in sends]
        seen = [[*log, *t.update] for t in tasks]
        for task in tasks:
            log = [*log, *task.update]
        ran.steps.append(tasks)
        ran.logs.append(log)
        if len(ran.steps) > 20 or len(log) > 500 or ran.chunks > 300:
            raise TooBig
        due, sends = set(), []
        for task, own in zip(tasks, seen, strict=True):
            name = task.node.name
            due |= {end for first, end in graph.edges if first == name}
            for index, (sources, _) in enumerate(graph.joins):
                if name in sources:
                    arrived.setdefault(index, set()).add(name)
            own = [*task.input, *task.update] if task.node.by_command else own
            for target in choose(task.node, own):
                if isinstance(target, Send):
                    sends.append(target)
                else:
                    due.add(target)
        for index, (sources, end) in enumerate(graph.joins):
            if arrived.get(index) == set(sources):
                due.add(end)
                if not nodes[end].defer:
                    del arrived[index]


@dataclass
class _Simulated(Ran):
    input: list[str] = field(default_factory=list)


def _simulate_task(node: Node, log: list[str]) -> _Simulated:
    if node.graph is not None:
        below = simulate(node.graph, log)
        return _Simulated(node, node.name, below.log, below, input=log)
    task = task_name(node.name, log)
    return _Simulated(node, task, [task], input=log)


# -------------------------------------------------------------------- the comparison


def check_stream(chunks: list[tuple[tuple[str, ...], str, Any]], ran: GraphRan, place: tuple[str, ...] = ()) -> None:
    """Whether chunks, with namespace and mode, are those of a graph run, in an order that is allowed."""
    rest = [c for c in chunks if c[0][: len(place)] == place]
    assert rest[0] == (place, "values", {"log": ran.start})
    rest = rest[1:]
    for step, log in zip(ran.steps, ran.logs, strict=True):
        length = 1 + sum(t.chunks for t in step)
        of_step, rest = rest[:length], rest[length:]
        assert of_step[-1] == (place, "values", {"log": log}), "the superstep's state is its last chunk"
        _check_superstep(of_step[:-1], step, place)
    assert rest == []


def _check_superstep(chunks: list[Any], tasks: Sequence[Ran], place: tuple[str, ...]) -> None:
    own = [(mode, data) for namespace, mode, data in chunks if namespace == place]
    wrote = Counter[str]()
    updated = Counter[str]()
    expected = {t.task: t for t in tasks if t.below is None}
    for mode, data in own:
        if mode == "custom":
            task, i = data
            assert i == wrote[task], "in order"
            assert not updated[task], "before its update"
            wrote[task] += 1
        else:
            assert mode == "updates"
            ((name, update),) = data.items()
            (task,) = update["log"] if update["log"][-1] in expected and len(update["log"]) == 1 else (name,)
            updated[task] += 1
    assert wrote == Counter({t.task: t.node.chunks for t in expected.values()}) + Counter()
    assert updated == Counter(t.task for t in tasks)
    _check_graphs_below(chunks, tasks, place)


def _check_graphs_below(chunks: list[Any], tasks: Sequence[Ran], place: tuple[str, ...]) -> None:
    """Each graph run below has a namespace of its own, and ends before the update of the node it belongs to."""
    expected = [t for t in tasks if t.below is not None]
    places = dict.fromkeys(c[0][: len(place) + 1] for c in chunks if len(c[0]) > len(place))
    assert len(places) == len(expected)
    for task in expected:
        assert task.below is not None
        fitting = [p for p in places if (p, "values", {"log": task.below.start}) in chunks]
        fitting = [p for p in fitting if p[-1].startswith(f"{task.node.name}:")]
        inside = fitting[0]
        del places[inside]
        check_stream(chunks, task.below, inside)
        last = max(i for i, c in enumerate(chunks) if c[0][: len(inside)] == inside)
        assert (place, "updates", {task.node.name: {"log": task.update}}) in chunks[last + 1 :]


def without_ids(chunks: list[Any]) -> list[Any]:
    """Chunks with the task ids in their namespaces numbered in order of appearance."""
    known: dict[str, int] = {}

    def plain(segment: str) -> str:
        name, colon, ident = segment.rpartition(":")
        return f"{name}:{known.setdefault(ident, len(known))}" if colon else segment

    return [(tuple(plain(s) for s in namespace), *rest) for namespace, *rest in chunks]

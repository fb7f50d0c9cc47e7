"""From a description to a program: every mistake is looked for, and all are reported together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..channels import Channel, LastValue
from ..constants import END, START
from ..errors import EmptyInputError, GraphBuildError, InvalidUpdateError, nearest
from ..runtime._program import Body, BodyKind, Branch, Exits, Join, NodeSpec, Program, Reader
from ..runtime._result import model_pairs
from ..types import Command
from ._schema import Schema, is_pydantic

if TYPE_CHECKING:
    from ._builder import BranchEntry, Description, NodeEntry


def compile_graph(graph: Description, name: str) -> Program:
    """Check a description and turn it into a program.

    Raises:
        GraphBuildError: with every mistake found.
    """
    problems: list[str] = []
    channels = _channels(graph, problems)
    _check_ends(graph, problems)
    _check_entry(graph, problems)
    if not problems:
        _check_reachable(graph, problems)
    if problems:
        raise GraphBuildError(problems)
    compiler = _Compiler(graph, channels)
    return Program(
        name=name,
        channels=channels,
        nodes={n.name: compiler.node(n) for n in graph.nodes.values()},
        entry=compiler.exits(START, BodyKind.INLINE),
        input_keys=frozenset(graph.input.keys),
        output_keys=graph.output.keys,
        coerce=_output_builder(graph.output),
        read_input=_input_reader(graph.input),
        open_ended=any(_may_leave(n) for n in graph.nodes.values()),
    )


def _may_leave(node: NodeEntry) -> bool:
    """Whether a node might go on in the graph around its own."""
    inside = node.subgraph is not None and node.subgraph.open_ended
    return inside or node.open_ended or Command.PARENT in (node.destinations or ())


# -------------------------------------------------------------------- checks


def _channels(graph: Description, problems: list[str]) -> dict[str, Channel[Any]]:
    """The channels of all schemas; a key may appear in several, if they agree on its reducer."""
    channels: dict[str, Channel[Any]] = {}
    owner: dict[str, str] = {}
    schemas = [graph.state, graph.input, graph.output]
    schemas += [n.schema for n in graph.nodes.values() if n.schema is not None]
    for schema in schemas:
        for key, channel in schema.channels.items():
            known = channels.get(key)
            if known is None or (type(known) is LastValue and type(channel) is not LastValue):
                channels[key] = channel
                owner[key] = schema.name
            elif type(channel) is not LastValue and channel != known:
                problems.append(
                    f"key {key!r} has channel {channel!r} in {schema.name!r}, but {known!r} in {owner[key]!r}; give it "
                    "the same reducer everywhere"
                )
    return channels


def _check_ends(graph: Description, problems: list[str]) -> None:
    """Everything that names a node names one that exists."""
    nodes = graph.nodes

    def check(target: str, where: str, *, also: Sequence[str] = ()) -> None:
        if target not in nodes and target not in also:
            problems.append(f"{where} names {target!r}, which is no node; {nearest(target, [*nodes, *also])}")

    for start, end in graph.edges:
        check(start, f"the edge {start!r} -> {end!r}", also=(START,))
        check(end, f"the edge {start!r} -> {end!r}", also=(END,))
    for sources, end in graph.joins:
        for source in sources:
            check(source, f"the join {list(sources)!r} -> {end!r}")
        check(end, f"the join {list(sources)!r} -> {end!r}", also=(END,))
    for source, branches in graph.branches.items():
        check(source, "add_conditional_edges()", also=(START,))
        for branch in branches.values():
            for target in dict.fromkeys(branch.declared or ()):
                check(target, f"router {branch.name!r} of {source!r}", also=(END,))
    for node in nodes.values():
        for target in node.destinations or ():
            if node.subgraph is None:
                check(target, f"destinations of node {node.name!r}", also=(END, Command.PARENT))


def _check_entry(graph: Description, problems: list[str]) -> None:
    if START in graph.branches or any(start == START for start, _ in graph.edges):
        return
    first = next(iter(graph.nodes), "node")
    problems.append(f"the graph has no entry point; add one, such as add_edge(START, {first!r})")


def _check_reachable(graph: Description, problems: list[str]) -> None:
    """Every node can be reached, unless something may go anywhere without saying so."""
    follows: dict[str, set[str]] = {}
    for start, end in graph.edges:
        follows.setdefault(start, set()).add(end)
    for sources, end in graph.joins:
        for source in sources:
            follows.setdefault(source, set()).add(end)
    anywhere: set[str] = set()
    for source, branches in graph.branches.items():
        for branch in branches.values():
            follows.setdefault(source, set()).update(branch.declared or ())
            if branch.declared is None:
                anywhere.add(source)
    for node in graph.nodes.values():
        follows.setdefault(node.name, set()).update(node.destinations or ())
        if node.open_ended or (node.subgraph is not None and node.subgraph.open_ended):
            anywhere.add(node.name)
    reached: set[str] = set()
    waiting = {START}
    while waiting:
        name = waiting.pop()
        if name in anywhere:
            return
        reached.add(name)
        waiting |= follows.get(name, set()) - reached
    for name in graph.nodes:
        if name not in reached:
            problems.append(
                f"node {name!r} can never run, nothing leads to it; add an edge, or name it in the destinations= of "
                "the node that goes there with Command(goto=...)"
            )


# -------------------------------------------------------------------- building


class _Compiler:
    """Turns the entries of a description into the records of a program."""

    def __init__(self, graph: Description, channels: Mapping[str, Channel[Any]]) -> None:
        self._graph = graph
        self._keys = frozenset(channels)
        self._joins: dict[str, list[Join]] = {}
        self._incoming: dict[str, list[str]] = {}
        self._targets: dict[str, list[str]] = {}
        for start, end in graph.edges:
            if end != END:
                self._targets.setdefault(start, []).append(end)
        for sources, end in graph.joins:
            if end == END:
                continue
            join = Join(f"join:{'+'.join(sources)}:{end}", frozenset(sources), end)
            self._incoming.setdefault(end, []).append(join.name)
            for source in sources:
                self._joins.setdefault(source, []).append(join)

    def node(self, entry: NodeEntry) -> NodeSpec:
        signature = entry.signature
        if entry.subgraph is not None:
            kind, body, subgraph = BodyKind.GRAPH, _NO_BODY, entry.subgraph.program
        else:
            assert signature is not None
            kind, body, subgraph = signature.kind, signature.body, None
        return NodeSpec(
            name=entry.name,
            kind=kind,
            body=body,
            reader=self.reader(entry.schema),
            exits=self.exits(entry.name, kind),
            triggers=(f"branch:to:{entry.name}", *self._incoming.get(entry.name, ())),
            metadata=entry.metadata,
            retry=entry.retry,
            timeout=entry.timeout,
            defer=entry.defer,
            handler=self._handler(entry),
            subgraph=subgraph,
        )

    def _handler(self, entry: NodeEntry) -> NodeSpec | None:
        if entry.handler is None:
            return None
        name = f"__error_handler__{entry.name}"
        reader = self.reader(entry.schema)
        return NodeSpec(name, entry.handler.kind, entry.handler.body, reader, metadata=entry.metadata)

    def reader(self, schema: Schema | None) -> Reader:
        schema = self._graph.state if schema is None else schema
        every = len(schema.channels) == len(self._keys) and self._keys == schema.channels.keys()
        return Reader(None if every else schema.keys, tuple(schema.managed.items()), schema.build)

    def exits(self, name: str, kind: BodyKind) -> Exits:
        targets = tuple(self._targets.get(name, ()))
        branches = self._graph.branches.get(name, {}).values()
        return Exits(targets, tuple(self._joins.get(name, ())), tuple(self._branch(b, kind) for b in branches))

    def _branch(self, entry: BranchEntry, node: BodyKind) -> Branch:
        kind = entry.signature.kind
        # A sync node's router may wait like the node itself, so it gets a thread, too.
        if kind is BodyKind.SYNC and not node.in_thread:
            kind = BodyKind.INLINE
        return Branch(entry.name, entry.signature.body, kind, self.reader(entry.schema), entry.targets)


def _no_body(_value: Any, _attempt: Any) -> Any:
    raise AssertionError("a graph is run, not called")


_NO_BODY: Body = _no_body


def _output_builder(schema: Schema) -> Callable[[dict[str, Any]], Any] | None:
    build = schema.build
    if build is None:
        return None
    keys = frozenset(schema.keys)
    return lambda values: build({k: v for k, v in values.items() if k in keys})


def _input_reader(schema: Schema) -> Callable[[Any], Sequence[tuple[str, Any]]]:
    keys = frozenset(schema.keys)

    def read(value: Any) -> Sequence[tuple[str, Any]]:
        return [(k, v) for k, v in _input_pairs(value, schema) if k in keys]

    return read


def _input_pairs(value: Any, schema: Schema) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    if value is None:
        raise EmptyInputError(f"the input is None; expected a dict with keys of {schema.name!r}")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    kind: Any = type(value)
    if is_pydantic(kind):
        return model_pairs(value)
    raise InvalidUpdateError(
        f"the input is {value!r} ({type(value).__name__}); expected a dict with keys of {schema.name!r}"
        + (f", or an instance of it: {', '.join(map(repr, schema.keys))}" if schema.keys else "")
    )

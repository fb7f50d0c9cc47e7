"""A compiled graph: plain data that describes what can run, shared by all its runs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..channels import Channel
from ..managed import ManagedValue, StepProgress
from ..types import RetryPolicy


class BodyKind(enum.Enum):
    """How a node's function is to be called."""

    ASYNC = "coroutine function"
    SYNC = "function, in a worker thread"
    ASYNC_GENERATOR = "async generator function"
    GENERATOR = "generator function, in a worker thread"
    GRAPH = "compiled graph"
    INLINE = "function, called directly"

    @property
    def in_thread(self) -> bool:
        """Whether it runs in a worker thread, which nobody can stop."""
        return self is BodyKind.SYNC or self is BodyKind.GENERATOR

    @property
    def is_generator(self) -> bool:
        """Whether it yields updates instead of returning one."""
        return self is BodyKind.ASYNC_GENERATOR or self is BodyKind.GENERATOR


# (input of the node, the attempt it runs in) -> whatever the function returns; arguments that the function asks
# for by name are taken from the attempt.
Body = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Reader:
    """What a node sees of the state.

    Attributes:
        keys: the keys it sees, or None for all.
        managed: keys that the run computes.
        build: makes the node's input type from a dict; None where that is a dict.
    """

    keys: tuple[str, ...] | None = None
    managed: tuple[tuple[str, type[ManagedValue]], ...] = ()
    build: Callable[[dict[str, Any]], Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether what it reads is a plain copy of everything."""
        return self.keys is None and self.build is None and not self.managed

    def read(self, values: Mapping[str, Any], progress: StepProgress) -> Any:
        """The node's input, in a container of its own."""
        keys = self.keys
        state = dict(values) if keys is None else {k: values[k] for k in keys if k in values}
        for key, manager in self.managed:
            state[key] = manager.get(progress)
        return state if self.build is None else self.build(state)


@dataclass(frozen=True)
class Branch:
    """A router behind a node.

    Attributes:
        name: for error messages.
        body: calls the router.
        kind: how to call it.
        reader: what it sees of the state.
        targets: maps what it returns to node names; None if it returns names itself.
    """

    name: str
    body: Body
    kind: BodyKind
    reader: Reader
    targets: Mapping[Any, str] | None = None


@dataclass(frozen=True)
class Join:
    """An edge that waits for several nodes.

    Attributes:
        name: identity of the join.
        sources: the nodes it waits for.
        target: the node it triggers.
    """

    name: str
    sources: frozenset[str]
    target: str


@dataclass(frozen=True)
class Exits:
    """What follows a node.

    Attributes:
        targets: nodes triggered by plain edges.
        joins: joins the node takes part in.
        branches: its routers.
    """

    targets: tuple[str, ...] = ()
    joins: tuple[Join, ...] = ()
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True)
class NodeSpec:
    """One node, ready to be called.

    Attributes:
        name: unique in its graph.
        kind: how to call it.
        body: calls it; unused for a graph.
        reader: what it sees of the state.
        write_keys: keys of the state it may write.
        exits: what follows it.
        triggers: names of everything that can trigger it, as shown in `tasks` chunks.
        metadata: the user's metadata.
        retry: policies, the first that matches counts.
        timeout: seconds one attempt may take.
        defer: whether it runs only when nothing else is left.
        handler: runs instead when it has failed for good.
        subgraph: the graph it runs, for `BodyKind.GRAPH`.
    """

    name: str
    kind: BodyKind
    body: Body
    reader: Reader
    exits: Exits = Exits()
    triggers: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    retry: tuple[RetryPolicy, ...] = ()
    timeout: float | None = None
    defer: bool = False
    handler: NodeSpec | None = None
    subgraph: Program | None = None

    @property
    def tags(self) -> Collection[str]:
        """The tags in the node's metadata."""
        tags: Collection[str] = self.metadata.get("tags", ())
        return tags


@dataclass(frozen=True)
class Program:
    """A compiled graph.

    Attributes:
        name: for tracing.
        channels: the channel of each key of the state, private ones included.
        nodes: all nodes.
        entry: what follows the input.
        input_keys: keys the input may write.
        output_keys: keys that `invoke` returns.
        coerce: makes the output's type from a dict of the state, for `version="v2"`; None where that is a dict.
        read_input: checks an input and turns it into writes.
        open_ended: whether a node of it might go on in the graph around it.
        is_agent: whether it is an agent, for those who observe its runs.
    """

    name: str
    channels: Mapping[str, Channel[Any]]
    nodes: Mapping[str, NodeSpec]
    entry: Exits
    input_keys: frozenset[str]
    output_keys: tuple[str, ...]
    coerce: Callable[[dict[str, Any]], Any] | None = None
    read_input: Callable[[Any], Sequence[tuple[str, Any]]] = lambda value: tuple(value.items())
    open_ended: bool = False
    is_agent: bool = False

    def __post_init__(self) -> None:
        # Looked up once per superstep: only channels that start with a value, or forget one.
        forgetful = tuple((k, c) for k, c in self.channels.items() if c.forgets)
        object.__setattr__(self, "forgetful", forgetful)
        starting = tuple((k, c) for k, c in self.channels.items() if type(c).initial is not Channel.initial)
        object.__setattr__(self, "starting", starting)

    forgetful: tuple[tuple[str, Channel[Any]], ...] = field(init=False, repr=False, compare=False, default=())

    starting: tuple[tuple[str, Channel[Any]], ...] = field(init=False, repr=False, compare=False, default=())

    @property
    def keys(self) -> Collection[str]:
        """All keys of the state."""
        return self.channels.keys()

    def node_names(self) -> frozenset[str]:
        """Names of its nodes and of all nodes of the graphs among them."""
        inner = (n.subgraph.node_names() for n in self.nodes.values() if n.subgraph is not None)
        return frozenset(self.nodes).union(*inner)

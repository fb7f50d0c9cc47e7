"""`StateGraph`: describing a graph, one call at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeAlias, overload

from typing_extensions import Self, TypeVar

from ..constants import END, START
from ..errors import GraphBuildError
from ..types import RetryPolicy
from ._callable import Signature, function_name, read_function
from ._compile import compile_graph
from ._compiled import CompiledStateGraph
from ._hints import literal_targets, may_return_command
from ._schema import Schema, read_schema

StateT = TypeVar("StateT")
ContextT = TypeVar("ContextT", default=None)
InputT = TypeVar("InputT", default=StateT)
OutputT = TypeVar("OutputT", default=StateT)

RESERVED = frozenset({START, END})
NodeLike: TypeAlias = Callable[..., Any] | CompiledStateGraph[Any, Any, Any, Any]
DEFAULT_NAME = "LangGraph"

# They separate the segments of a namespace.
_SEPARATORS = "|:"


@dataclass
class NodeEntry:
    """A node as it was added."""

    name: str
    signature: Signature | None
    subgraph: CompiledStateGraph[Any, Any, Any, Any] | None
    schema: Schema | None
    metadata: Mapping[str, Any]
    retry: tuple[RetryPolicy, ...]
    timeout: float | None
    defer: bool
    handler: Signature | None
    destinations: tuple[str, ...] | None
    open_ended: bool


@dataclass
class BranchEntry:
    """A router as it was added."""

    name: str
    signature: Signature
    targets: Mapping[Hashable, str] | None
    declared: tuple[str, ...] | None
    schema: Schema | None


@dataclass
class Description:
    """Everything that was said about a graph."""

    state: Schema
    input: Schema
    output: Schema
    context_schema: Any
    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    joins: dict[tuple[tuple[str, ...], str], None] = field(default_factory=dict)
    branches: dict[str, dict[str, BranchEntry]] = field(default_factory=dict)


class StateGraph(Generic[StateT, ContextT, InputT, OutputT]):
    """Describes a graph whose nodes share one state; `compile()` makes it runnable.

    Args:
        state_schema: a TypedDict, dataclass or pydantic model; one key per channel.  `Annotated[T, reducer]` says
            how several writes combine, otherwise a key keeps the last value.
        context_schema: type of what callers pass as `context=`.
        input_schema: which keys a run's input may have; all by default.
        output_schema: which keys `invoke` returns; all by default.

    Raises:
        GraphBuildError: a schema cannot be read.

    Example:
        ```python
        import operator
        from typing import Annotated, TypedDict

        from penstock.graph import END, START, StateGraph

        class State(TypedDict):
            topic: str
            log: Annotated[list[str], operator.add]

        def refine(state: State):
            return {"topic": state["topic"] + " and cats", "log": ["refined"]}

        graph = StateGraph(State).add_node(refine).add_edge(START, "refine").add_edge("refine", END).compile()
        assert graph.invoke({"topic": "ice"}) == {"topic": "ice and cats", "log": ["refined"]}
        ```
    """

    def __init__(
        self,
        state_schema: type[StateT],
        context_schema: type[ContextT] | None = None,
        *,
        input_schema: type[InputT] | None = None,
        output_schema: type[OutputT] | None = None,
    ) -> None:
        state = read_schema(state_schema, "state_schema")
        self._description = Description(
            state=state,
            input=state if input_schema is None else read_schema(input_schema, "input_schema"),
            output=state if output_schema is None else read_schema(output_schema, "output_schema"),
            context_schema=context_schema,
        )

    # ---------------------------------------------------------------- nodes

    @overload
    def add_node(
        self,
        node: NodeLike,
        /,
        *,
        defer: bool = False,
        metadata: Mapping[str, Any] | None = None,
        input_schema: type[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | None = None,
        error_handler: Callable[..., Any] | None = None,
        destinations: Mapping[str, str] | Sequence[str] | None = None,
    ) -> Self: ...
    @overload
    def add_node(
        self,
        node: str,
        action: NodeLike,
        /,
        *,
        defer: bool = False,
        metadata: Mapping[str, Any] | None = None,
        input_schema: type[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | None = None,
        error_handler: Callable[..., Any] | None = None,
        destinations: Mapping[str, str] | Sequence[str] | None = None,
    ) -> Self: ...
    def add_node(
        self,
        node: Any,
        action: Any = None,
        *,
        defer: bool = False,
        metadata: Mapping[str, Any] | None = None,
        input_schema: type[Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | None = None,
        error_handler: Callable[..., Any] | None = None,
        destinations: Mapping[str, str] | Sequence[str] | None = None,
    ) -> Self:
        """Add a node: `add_node(function)` or `add_node("name", function)`.

        Args:
            node: the function, named after itself, or the name of the node.
            action: the function, if the name comes first: async or sync, a method, a partial, a callable object,
                a generator function, or a compiled graph.  It takes the state and may ask by name for `config`,
                `writer` and `runtime`.
            defer: run it only when nothing else is left to run.
            metadata: shown with everything the node streams.
            input_schema: what the node sees of the state; by default what its first parameter is annotated with,
                or everything.
            retry_policy: when to try again; of several the first that matches the error counts.
            timeout: seconds one attempt may take, for async nodes.
            error_handler: called with the state and `error: NodeError` once the node has failed for good; what it
                returns is used instead.
            destinations: nodes it may go to with `Command(goto=...)`, if its return annotation does not say.

        Returns:
            The builder.

        Raises:
            GraphBuildError: the name is taken, reserved or missing, or the function cannot be called by a run.
        """
        name, function = self._name_and_function(node, action)
        self._check_name(name)
        subgraph = function if isinstance(function, CompiledStateGraph) else None
        signature = None if subgraph is not None else read_function(function, f"node {name!r}")
        handler = None
        if error_handler is not None:
            handler = read_function(error_handler, f"error_handler of node {name!r}", handles_error=True)
        schema = input_schema if input_schema is not None or signature is None else signature.input_type
        declared = tuple(destinations) if destinations is not None else None
        if declared is None and signature is not None:
            declared = literal_targets(signature.returns, in_command=True)
        self._description.nodes[name] = NodeEntry(
            name=name,
            signature=signature,
            subgraph=subgraph,
            schema=None if schema is None else read_schema(schema, f"input_schema of node {name!r}"),
            metadata=dict(metadata or {}),
            retry=_policies(name, retry_policy),
            timeout=_seconds(name, timeout, signature),
            defer=defer,
            handler=handler,
            destinations=declared,
            open_ended=declared is None and (may_return_command(function) or may_return_command(error_handler)),
        )
        return self

    def _name_and_function(self, node: Any, action: Any) -> tuple[str, Any]:
        if isinstance(node, str):
            if action is None:
                raise GraphBuildError(f"node {node!r} has no function; call add_node({node!r}, function)")
            return node, action
        if action is not None:
            raise GraphBuildError(f"the name of a node must be a string, got {node!r}")
        if isinstance(node, CompiledStateGraph):
            return node.name, node
        name = function_name(node) if callable(node) else None
        if name is None:
            raise GraphBuildError(f"{node!r} has no name to call its node by; use add_node('name', function)")
        return name, node

    def _check_name(self, name: str) -> None:
        if not name:
            raise GraphBuildError("the name of a node must not be empty")
        if name in RESERVED:
            raise GraphBuildError(f"node {name!r}: this name is reserved for the start and end of a graph")
        for separator in _SEPARATORS:
            if separator in name:
                raise GraphBuildError(
                    f"node {name!r}: a name must not contain {separator!r}, which separates namespaces"
                )
        if name in self._description.nodes:
            raise GraphBuildError(f"node {name!r} was already added; give the second one another name")

    def add_sequence(self, nodes: Sequence[NodeLike | tuple[str, NodeLike]]) -> Self:
        """Add several nodes, each with an edge from the one before.

        Args:
            nodes: functions and compiled graphs, or `(name, function)` pairs; at least one.

        Raises:
            GraphBuildError: as `add_node`; or there are none.
        """
        if not nodes:
            raise GraphBuildError("add_sequence() got no nodes; give it at least one")
        before: str | None = None
        for node in nodes:
            name, function = node if isinstance(node, tuple) else self._name_and_function(node, None)
            self.add_node(name, function)
            if before is not None:
                self.add_edge(before, name)
            before = name
        return self

    # ---------------------------------------------------------------- edges

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Run a node after another one, or after all of several.

        Args:
            start_key: a node or `START`; a list is a join, which waits for all of them.
            end_key: a node or `END`.

        Raises:
            GraphBuildError: an end of the edge cannot be one.
        """
        sources = [start_key] if isinstance(start_key, str) or not isinstance(start_key, Iterable) else list(start_key)
        if not all(isinstance(key, str) for key in (*sources, end_key)):
            raise GraphBuildError(
                f"an edge leads from a node to a node, got {start_key!r} -> {end_key!r}; expected names, or a list of "
                "names to wait for on the left"
            )
        if end_key == START:
            raise GraphBuildError(f"an edge cannot lead to {START!r}, the start of the graph")
        if not sources:
            raise GraphBuildError(f"the join to {end_key!r} waits for no nodes; name at least one")
        if END in sources:
            raise GraphBuildError(f"an edge cannot start at {END!r}, the end of the graph")
        if isinstance(start_key, str):
            self._description.edges[start_key, end_key] = None
            return self
        if START in sources:
            raise GraphBuildError(f"a join waits for nodes to end, and {START!r} is none; use a plain edge from it")
        self._description.joins[tuple(dict.fromkeys(sources)), end_key] = None
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any],
        path_map: Mapping[Hashable, str] | Sequence[str] | None = None,
    ) -> Self:
        """Let a function decide what runs after a node.

        Args:
            source: a node or `START`.
            path: the router, async or sync; gets the state with the node's own update applied, and may ask for
                `config`, `writer` and `runtime`.  Returns a node name, `END`, a `Send`, or a list of these.  A sync
                router of an async node is called on the event loop: if it waits, make it async.
            path_map: what the router returns -> node name; a list names the nodes it may choose.

        Raises:
            GraphBuildError: the router cannot be called, or the node has one of this name.
        """
        if source == END:
            raise GraphBuildError(f"an edge cannot start at {END!r}, the end of the graph")
        name = function_name(path) or "condition"
        branches = self._description.branches.setdefault(source, {})
        if name in branches:
            raise GraphBuildError(f"node {source!r} already has a router {name!r}; give the second another name")
        signature = read_function(path, f"router {name!r}")
        if signature.kind.is_generator:
            raise GraphBuildError(f"router {name!r} is a generator; return a list of targets instead")
        targets: Mapping[Hashable, str] | None = None
        if isinstance(path_map, Mapping):
            targets = dict(path_map)
        elif path_map is not None:
            targets = {t: t for t in path_map}
        declared = tuple(targets.values()) if targets is not None else literal_targets(signature.returns)
        schema = signature.input_type
        branches[name] = BranchEntry(
            name=name,
            signature=signature,
            targets=targets,
            declared=declared,
            schema=None if schema is None else read_schema(schema, f"input of router {name!r}"),
        )
        return self

    def set_entry_point(self, key: str) -> Self:
        """Start the graph at a node: the same as `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_finish_point(self, key: str) -> Self:
        """End the graph at a node: the same as `add_edge(key, END)`."""
        return self.add_edge(key, END)

    def set_conditional_entry_point(
        self, path: Callable[..., Any], path_map: Mapping[Hashable, str] | Sequence[str] | None = None
    ) -> Self:
        """Let a function decide where to start: the same as `add_conditional_edges(START, ...)`."""
        return self.add_conditional_edges(START, path, path_map)

    # ---------------------------------------------------------------- compiling

    def compile(
        self,
        checkpointer: None = None,
        *,
        interrupt_before: Sequence[str] | None = None,
        interrupt_after: Sequence[str] | None = None,
        name: str | None = None,
    ) -> CompiledStateGraph[StateT, ContextT, InputT, OutputT]:
        """Check the whole description and make it runnable.

        The builder can be changed and compiled again; graphs compiled before do not change.

        Args:
            checkpointer: reserved for saved state.
            interrupt_before: reserved for saved state.
            interrupt_after: reserved for saved state.
            name: name of the graph, in events and for a node made of it; "LangGraph" by default, which is what
                programs look for in events.

        Raises:
            GraphBuildError: something is wrong with the description; the message lists every mistake.
        """
        for argument, value in (
            ("checkpointer", checkpointer),
            ("interrupt_before", interrupt_before),
            ("interrupt_after", interrupt_after),
        ):
            if value:
                raise GraphBuildError(
                    f"compile({argument}={value!r}): this version of penstock keeps no saved state yet, so it cannot "
                    "stop and resume; leave the argument out"
                )
        program = compile_graph(self._description, name or DEFAULT_NAME)
        return CompiledStateGraph(program, self._description.context_schema)


def _policies(node: str, policy: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
    if policy is None:
        return ()
    given: Any = policy
    several = isinstance(given, Iterable) and not isinstance(given, (RetryPolicy, str))
    policies: tuple[Any, ...] = tuple(given) if several else (given,)
    for p in policies:
        if not isinstance(p, RetryPolicy):
            raise GraphBuildError(f"node {node!r}: retry_policy must be a RetryPolicy or several, got {p!r}")
        if p.max_attempts < 1:
            raise GraphBuildError(f"node {node!r}: RetryPolicy.max_attempts must be at least 1, got {p.max_attempts}")
    return policies


def _seconds(node: str, timeout: Any, signature: Signature | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise GraphBuildError(f"node {node!r}: timeout must be seconds or a timedelta, got {timeout!r}")
    if not timeout > 0:
        raise GraphBuildError(f"node {node!r}: timeout must be more than 0 seconds, got {timeout!r}")
    if signature is not None and signature.kind.in_thread:
        raise GraphBuildError(
            f"node {node!r}: a timeout cannot end a sync function, whose thread nobody can stop; make the node async, "
            "or let the function watch the time itself"
        )
    return float(timeout)

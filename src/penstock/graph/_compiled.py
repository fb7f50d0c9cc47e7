"""`CompiledStateGraph`: a graph that can be run."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Literal, cast, overload

from typing_extensions import TypedDict, TypeVar, Unpack

from ..config import maybe_scope, parse_config
from ..errors import InvalidUpdateError, nearest
from ..runnables import Composable
from ..runtime import RunStream, SyncRunStream
from ..runtime._direct import run_here
from ..runtime._events import EventFilters, EventView, select_events
from ..runtime._host import Call
from ..runtime._program import Program
from ..runtime._result import is_pairs, sort_targets
from ..runtime._spans import inherited_config, look_around
from ..runtime._sync import run_sync
from ..runtime._task import Attempt
from ..runtime._work import check_version
from ..streams import (
    DEFAULT_HIGH_WATER_MARK,
    StreamRequest,
    parse_mark,
    parse_modes,
    parse_only,
    parse_overflow,
)
from ..types import (
    Command,
    GraphOutput,
    Namespace,
    OnlyLike,
    OverflowLike,
    Send,
    StreamEvent,
    StreamMode,
    StreamPart,
    TaskPayload,
    TaskResultPayload,
)
from ._schema import is_schema, read_schema

StateT = TypeVar("StateT")
ContextT = TypeVar("ContextT", default=None)
InputT = TypeVar("InputT", default=StateT)
OutputT = TypeVar("OutputT", default=StateT)


class StreamOptions(TypedDict, total=False):
    """Arguments of `astream` and `stream` that do not change the type of a chunk."""

    context: Any
    output_keys: str | Sequence[str] | None
    print_mode: StreamMode | Collection[StreamMode]
    only: OnlyLike | None
    high_water_mark: int
    overflow: OverflowLike
    run_ahead: int


class GraphEventOptions(StreamOptions, EventFilters, total=False):
    """Arguments of `astream_events` of a graph."""


class CompiledStateGraph(Composable[Any, Any], Generic[StateT, ContextT, InputT, OutputT]):
    """A graph that can be run, streamed, and used as a node of another graph.

    Made by `StateGraph.compile()`; shared by any number of runs, in any number of threads.

    Attributes:
        name: name of the graph.
    """

    __slots__ = ("_context_schema", "program")

    def __init__(self, program: Program, context_schema: Any = None) -> None:
        self.program: Program = program
        self._context_schema = context_schema

    @property
    def name(self) -> str:
        """Name of the graph, for tracing and for a node made of it."""
        return self.program.name

    @property
    def open_ended(self) -> bool:
        """Whether a node of it might go on in the graph around it."""
        return self.program.open_ended

    def __repr__(self) -> str:
        return f"<CompiledStateGraph {self.name!r}: {', '.join(self.program.nodes)}>"

    # ---------------------------------------------------------------- streaming

    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v2"],
        **options: Unpack[StreamOptions],
    ) -> RunStream[StreamPart]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values", "updates", "debug", "checkpoints", "tools"] | None = "updates",
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[dict[str, Any]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values", "updates", "debug", "checkpoints", "tools"] | None = "updates",
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Namespace, dict[str, Any]]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["custom"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[Any]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["custom"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Namespace, Any]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["messages"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Any, dict[str, Any]]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["messages"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Namespace, tuple[Any, dict[str, Any]]]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["tasks"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[TaskPayload | TaskResultPayload]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["tasks"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Namespace, TaskPayload | TaskResultPayload]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Collection[StreamMode],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[StreamMode, Any]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Collection[StreamMode],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[tuple[Namespace, StreamMode, Any]]: ...
    @overload
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[Any]: ...
    def astream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> RunStream[Any]:
        """Run the graph and stream what happens, on asyncio or trio.

        Args:
            input: a dict with keys of the input schema, or an instance of it.
            config: settings of the run: `recursion_limit`, `max_concurrency`, `tags`, `metadata`, `configurable`,
                `run_name`.
            stream_mode: what to show.  One mode gives bare chunks; a collection of modes, of one even, gives
                `(mode, chunk)`.
            subgraphs: show subgraphs as well; each chunk comes with the namespace it is from.
            version: "v2" gives every chunk as a dict `{"type", "ns", "data"}`.
            context: what nodes get as `runtime.context`.
            output_keys: restrict `values` and `updates` of this graph to these keys; a string gives the bare value.
            print_mode: modes to print as well.
            only: which chunks are wanted, by node, namespace, depth or tag; others are never built.
            high_water_mark: unread chunks one node may have before it waits; 64 by default.
            overflow: what happens instead of waiting: "raise", "drop_oldest", "drop_newest" or "latest"; one for all,
                or a dict for `custom`, `messages` and `tools`.
            run_ahead: supersteps that may be finished before the reader asks for them; 0 by default.

        Returns:
            A `RunStream`: iterate it, or enter it with `async with` first.

        Raises:
            ValueError: an argument is wrong; the message says which and what is possible.
            TypeError: an argument has the wrong type.

        Example:
            ```python
            from typing import TypedDict

            from penstock.graph import START, StateGraph

            class State(TypedDict):
                n: int

            async def add(state: State):
                return {"n": state["n"] + 1}

            graph = StateGraph(State).add_node(add).add_edge(START, "add").compile()
            chunks = [c async for c in graph.astream({"n": 1}, stream_mode=["updates", "values"])]
            assert chunks == [("values", {"n": 1}), ("updates", {"add": {"n": 2}}), ("values", {"n": 2})]
            ```
        """
        return RunStream(self._call(input, config, self._request(stream_mode, subgraphs, version, options), options))

    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v2"],
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[StreamPart]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values", "updates", "debug", "checkpoints", "tools"] | None = "updates",
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[dict[str, Any]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values", "updates", "debug", "checkpoints", "tools"] | None = "updates",
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Namespace, dict[str, Any]]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["custom"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[Any]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["custom"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Namespace, Any]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["messages"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Any, dict[str, Any]]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["messages"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Namespace, tuple[Any, dict[str, Any]]]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["tasks"],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[TaskPayload | TaskResultPayload]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["tasks"],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Namespace, TaskPayload | TaskResultPayload]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Collection[StreamMode],
        subgraphs: Literal[False] = False,
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[StreamMode, Any]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Collection[StreamMode],
        subgraphs: Literal[True],
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[tuple[Namespace, StreamMode, Any]]: ...
    @overload
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[Any]: ...
    def stream(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> SyncRunStream[Any]:
        """Run the graph and stream what happens, from a plain thread.

        The arguments and chunks are those of `astream`.  The run lives on an event loop in another thread, so async
        nodes work; leaving the loop ends the run and waits for its cleanup.

        Example:
            ```python
            from typing import TypedDict

            from penstock.graph import START, StateGraph

            class State(TypedDict):
                n: int

            def add(state: State):
                return {"n": state["n"] + 1}

            graph = StateGraph(State).add_node(add).add_edge(START, "add").compile()
            assert list(graph.stream({"n": 1})) == [{"add": {"n": 2}}]
            ```
        """
        request = self._request(stream_mode, subgraphs, version, options)
        return SyncRunStream(self._call(input, config, request, options))

    # ---------------------------------------------------------------- events

    def astream_events(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        version: Literal["v2"] = "v2",
        stream_mode: StreamMode | Collection[StreamMode] | None = "updates",
        subgraphs: bool = False,
        **options: Unpack[GraphEventOptions],
    ) -> RunStream[StreamEvent]:
        """Run the graph and stream what goes on inside: in its nodes, and in the models, tools, chains and graphs they
        call, at any depth.

        An event is a dict with `event`, `name`, `run_id`, `parent_ids`, `tags`, `metadata` and `data`. The stream is
        that of `astream` in everything else: it is bounded, a slow reader holds the run back, and leaving it ends the
        run.

        Args:
            input: as for `astream`.
            config: as for `astream`.
            version: there is only "v2".
            stream_mode: what the `on_chain_stream` events of this graph hold, as `astream` gives it.
            subgraphs: whether they are to show subgraphs, which have events of their own in any case.
            options: which events are wanted (`include_names`, `include_types`, `include_tags`, `exclude_names`,
                `exclude_types`, `exclude_tags`): see :class:`penstock.runtime.EventFilters`; and the options of
                `astream` but `overflow`.

        Returns:
            A `RunStream`: iterate it, or enter it with `async with` first.

        Raises:
            ValueError: an argument is wrong; the message says which and what is possible.
            TypeError: an argument has the wrong type.

        Example:
            ```python
            from penstock.graph import START, MessagesState, StateGraph
            from penstock.testing import ScriptedChatModel

            model = ScriptedChatModel(["Four", "Four"])

            async def ask(state: MessagesState):
                return {"messages": [await model.ainvoke(state["messages"])]}

            graph = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask").compile(name="adder")
            events = graph.astream_events({"messages": "2 + 2?"}, include_types=["chat_model"])
            found = [event["event"] async for event in events]
            assert found == ["on_chat_model_start", *["on_chat_model_stream"] * 2, "on_chat_model_end"]
            ```
        """
        check_version(version)
        if "overflow" in options:
            raise TypeError("astream_events() has no overflow: events are never dropped; use only= or include_types=")
        given: dict[str, Any] = {k: v for k, v in options.items() if k not in EventFilters.__annotations__}
        if given.get("output_keys") is None:
            given["output_keys"] = tuple(self.program.channels)
        shown = cast("StreamOptions", given)
        request = self._request(stream_mode, subgraphs, "v1", shown)
        call = self._call(input, config, request, shown)
        view = EventView(select_events(options), input)
        if not view.wants_root(call.identity.get("run_name") or self.name, call.config.tags):
            call = replace(call, request=replace(request, modes=frozenset()))  # its chunks need not be built
        around = call.around
        return RunStream(replace(call, view=view, around=around._replace(observers=(*around.observers, view))))

    # ---------------------------------------------------------------- to the end

    @overload
    async def ainvoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values"] = "values",
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any: ...
    @overload
    async def ainvoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values"] = "values",
        version: Literal["v2"],
        **options: Unpack[StreamOptions],
    ) -> GraphOutput: ...
    @overload
    async def ainvoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["updates", "debug", "checkpoints", "tools", "custom", "messages", "tasks"]
        | Collection[StreamMode],
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> list[Any]: ...
    @overload
    async def ainvoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] = "values",
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any: ...
    async def ainvoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] = "values",
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any:
        """Run the graph to its end, on asyncio or trio.

        Args:
            input: a dict with keys of the input schema, or an instance of it.
            config: settings of the run, as for `astream`.
            stream_mode: anything but "values" returns the list of the chunks that `astream` gives.
            version: "v2" returns a `GraphOutput`.
            context: what nodes get as `runtime.context`.
            output_keys: keys to return instead of those of the output schema; a string gives the bare value.
            print_mode: modes to print.

        Returns:
            The final state as a dict, or None if nothing was ever written to it.

        Raises:
            Exception: whatever a node raised, as itself, with a note that names the node.
            GraphRecursionError: the run did not end within its `recursion_limit`.

        Example:
            ```python
            from typing import TypedDict

            from penstock.graph import START, StateGraph

            class State(TypedDict):
                n: int

            async def add(state: State):
                return {"n": state["n"] + 1}

            graph = StateGraph(State).add_node(add).add_edge(START, "add").compile()
            assert await graph.ainvoke({"n": 1}) == {"n": 2}
            ```
        """
        call = self._invocation(input, config, stream_mode, version, options)
        if call.request is None:
            return self._output(await run_here(call), version)
        async with RunStream[Any](call) as run:
            chunks = [chunk async for chunk in run]
            return chunks if stream_mode != "values" else self._output(await run.result(), version)

    @overload
    def invoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values"] = "values",
        version: Literal["v1"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any: ...
    @overload
    def invoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["values"] = "values",
        version: Literal["v2"],
        **options: Unpack[StreamOptions],
    ) -> GraphOutput: ...
    @overload
    def invoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: Literal["updates", "debug", "checkpoints", "tools", "custom", "messages", "tasks"]
        | Collection[StreamMode],
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> list[Any]: ...
    @overload
    def invoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] = "values",
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any: ...
    def invoke(
        self,
        input: Any,
        config: Mapping[str, Any] | None = None,
        *,
        stream_mode: StreamMode | Collection[StreamMode] = "values",
        version: Literal["v1", "v2"] = "v1",
        **options: Unpack[StreamOptions],
    ) -> Any:
        """Run the graph to its end, from a plain thread; everything else is as for `ainvoke`."""
        call = self._invocation(input, config, stream_mode, version, options)
        if call.request is None:
            return self._output(run_sync(call), version)
        with SyncRunStream[Any](call) as run:
            chunks = list(run)
            return chunks if stream_mode != "values" else self._output(run.result(), version)

    # ---------------------------------------------------------------- at the door

    def _invocation(
        self,
        input: Any,
        config: Mapping[str, Any] | None,
        stream_mode: StreamMode | Collection[StreamMode],
        version: Literal["v1", "v2"],
        options: StreamOptions,
    ) -> Call:
        """The call of an `invoke`; it has a request only if somebody will see the chunks."""
        watched = stream_mode != "values" or bool(options.get("print_mode"))
        if watched and options.get("output_keys") is None:
            options = {**options, "output_keys": self.program.output_keys}
        request = None
        if watched or options or version != "v1":  # otherwise there is nothing to check
            request = self._request(stream_mode, False, version, options)
        return self._call(input, config, request if watched else None, options)

    def _output(self, result: Any, version: str) -> Any:
        if version == "v1":
            return result
        coerce = self.program.coerce
        return GraphOutput(value=coerce(result) if coerce is not None and isinstance(result, dict) else result)

    def _request(
        self,
        stream_mode: StreamMode | Collection[StreamMode] | None,
        subgraphs: bool,
        version: Literal["v1", "v2"],
        options: StreamOptions,
    ) -> StreamRequest:
        if not options and isinstance(stream_mode, str) and version == "v1":
            return _plain_request(stream_mode, bool(subgraphs))
        modes, tagged = parse_modes("stream_mode", "updates" if stream_mode is None else stream_mode)
        if version not in ("v1", "v2"):
            raise ValueError(f"version must be 'v1' or 'v2', got {version!r}")
        only = options.get("only")
        return StreamRequest(
            modes=modes,
            printed=parse_modes("print_mode", options.get("print_mode", ()))[0],
            tagged=tagged,
            subgraphs=bool(subgraphs),
            output_keys=self._output_keys(options),
            version=version,
            only=None if only is None else parse_only(only, self.program.node_names(), subgraphs=subgraphs),
            high_water_mark=parse_mark(options.get("high_water_mark", DEFAULT_HIGH_WATER_MARK)),
            overflow=parse_overflow(options.get("overflow", "wait")),
        )

    def _output_keys(self, options: StreamOptions) -> str | tuple[str, ...] | None:
        keys = options.get("output_keys")
        if keys is None:
            return None
        if not isinstance(keys, Collection):
            raise TypeError(f"output_keys must be a key or several, got {keys!r}")
        for key in (keys,) if isinstance(keys, str) else keys:
            if key not in self.program.channels:
                raise ValueError(f"output_keys: the state has no key {key!r}; {nearest(key, self.program.channels)}")
        return keys if isinstance(keys, str) else tuple(keys)

    def _call(
        self,
        input: Any,
        config: Mapping[str, Any] | None,
        request: StreamRequest | None,
        options: StreamOptions,
    ) -> Call:
        _check_options(options)
        scope = maybe_scope()
        parent = scope if isinstance(scope, Attempt) and not scope.ended else None
        writes, goto = self._read_input(input)
        context = options.get("context")
        given: Mapping[str, Any] = config if isinstance(config, Mapping) else {}
        around = look_around(given.get("callbacks"))
        own = {key: given[key] for key in ("run_name", "run_id") if given.get(key) is not None} if given else given
        return Call(
            program=self.program,
            writes=writes,
            goto=goto,
            config=parse_config(config, inherited_config(None if parent is None else parent.run_config, around)),
            user_context=self._context(context, parent),
            parent=parent,
            request=request,
            output_keys=self._output_keys(options),
            run_ahead=_whole_number("run_ahead", options.get("run_ahead", 0)),
            context=contextvars.copy_context(),
            around=around,
            identity=own,
        )

    def _read_input(self, input: Any) -> tuple[Sequence[tuple[str, Any]], Sequence[str | Send]]:
        if not isinstance(input, Command):
            return self.program.read_input(input), ()
        if input.resume is not None:
            raise InvalidUpdateError(
                f"the input is {input!r}, but there is nothing to resume: this version keeps no saved state yet"
            )
        if input.graph is not None:
            raise InvalidUpdateError(f"the input is {input!r}, but there is no parent graph to go to")
        chosen: list[Any] = list(input.goto) if isinstance(input.goto, (list, tuple)) else [input.goto]
        goto: list[str] = []
        sends: list[Send] = []
        sort_targets(self.program, "Command(goto=...) as input", chosen, goto, sends)
        update = {} if input.update is None else input.update
        if is_pairs(update):
            return [(key, value) for key, value in update if key in self.program.input_keys], [*goto, *sends]
        return self.program.read_input(update), [*goto, *sends]

    def _context(self, context: Any, parent: Attempt | None) -> Any:
        if context is None:
            return None if parent is None else parent.task.run.user_context
        if isinstance(context, dict) and is_schema(self._context_schema):
            build = read_schema(self._context_schema, "context_schema").build
            return context if build is None else build(context)
        return context


@functools.cache
def _plain_request(mode: str, subgraphs: bool) -> StreamRequest:
    """The request of most calls, made once: it takes as long as the rest of `astream()`."""
    return StreamRequest(modes=parse_modes("stream_mode", mode)[0], subgraphs=subgraphs)


def _check_options(options: StreamOptions) -> None:
    for name in options:
        if name not in StreamOptions.__annotations__:
            known = [*GraphEventOptions.__annotations__, "stream_mode", "subgraphs", "version"]
            raise TypeError(f"there is no argument {name!r}; {nearest(name, known)}")


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return value

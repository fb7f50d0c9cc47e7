"""From what happens in a run to the chunks somebody asked for.

The superstep loop tells a *feed* what happened and never sees a mode.  A feed belongs to one graph run (the root
graph or a subgraph) and one stream; it knows which modes, nodes and namespaces that stream wants, and builds
those chunks and no others.  A graph run that nobody watches has no feed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from threading import get_ident
from typing import Any, Protocol

from ..types import Namespace, StreamMode, StreamWriter
from ._backend import loop_poster
from ._merger import DONE, Clock, Merger, Port, Receipt, RemotePort, check_cancelled
from ._request import StreamRequest

Writes = Sequence[tuple[str, Any]]


class TaskView(Protocol):
    """What a feed needs to know of a task; all of it may be computed when it is asked for."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def input(self) -> Any: ...
    @property
    def triggers(self) -> tuple[str, ...]: ...
    @property
    def shown_metadata(self) -> Mapping[str, Any]: ...
    @property
    def tags(self) -> Collection[str]: ...


class GraphView(Protocol):
    """What a feed needs to know of the graph it shows."""

    @property
    def keys(self) -> Collection[str]: ...
    @property
    def coerce(self) -> Callable[[dict[str, Any]], Any] | None: ...


class Feed:
    """Shows one graph run to one stream.

    Args:
        request: what the stream's caller asked for.
        merger: the stream.
        namespace: where the graph run lies.
        graph: the graph.
        keys: what it shows of its state.
        seen: ids of messages that the stream has shown.
        wrap: turns each item into what the reader gets.

    Attributes:
        values: whether `values` chunks are wanted; likewise the others.
        remote: whether this graph run lives on another loop than the stream.
        seen: ids of the messages that the stream has shown, or is not to show.
    """

    __slots__ = (
        "_bare",
        "_coerce",
        "_home",
        "_keys",
        "_merger",
        "_namespace",
        "_port",
        "_request",
        "_wanted",
        "_wrap",
        "custom",
        "messages",
        "remote",
        "seen",
        "tasks",
        "updates",
        "values",
    )

    def __init__(
        self,
        request: StreamRequest,
        merger: Merger,
        namespace: Namespace,
        graph: GraphView,
        keys: str | Collection[str] | None,
        *,
        seen: set[str],
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        self._request = request
        self._wrap = wrap
        self._merger = merger
        self._namespace = namespace
        self.remote: bool = get_ident() != merger.thread_id
        self._home = loop_poster() if self.remote else None
        self._port = Port(merger) if self._home is None else RemotePort(merger, self._home)
        self._coerce = graph.coerce if request.version == "v2" else None
        self._bare = keys if isinstance(keys, str) else None
        self._keys: frozenset[str] | None
        self._keys = frozenset(keys) if keys is not None and self._bare is None else None
        if self._keys is not None and self._keys.issuperset(graph.keys):
            self._keys = None
        self._wanted: dict[str, bool] = {}
        asked = request.modes | request.printed if request.printed else request.modes
        self.values: bool = "values" in asked
        self.updates: bool = "updates" in asked
        self.tasks: bool = "tasks" in asked or "debug" in asked
        self.custom: bool = "custom" in asked
        self.messages: bool = "messages" in asked
        self.seen: set[str] = seen

    # ---------------------------------------------------------------- what happened

    def state(self, values: Mapping[str, Any], written: Collection[str] | None) -> None:
        """The state after a superstep; `written` are the keys it wrote."""
        if not self.values or not written:
            return
        if self._bare is not None:
            if self._bare in written and self._bare in values:  # a step may forget a key
                self._emit("values", values[self._bare])
            return
        if self._keys is not None:
            if self._keys.isdisjoint(written):
                return
            data: Any = {k: v for k, v in values.items() if k in self._keys}
        else:
            data = dict(values)
        self._emit("values", data if self._coerce is None else self._coerce(data))

    def started(self, step: int, task: TaskView) -> None:
        """A task is about to start."""
        if not self.tasks or not self._wants(task):
            return
        payload: dict[str, Any] = {
            "id": task.id,
            "name": task.name,
            "input": _fresh(task.input),
            "triggers": task.triggers,
        }
        if task.shown_metadata:
            payload["metadata"] = dict(task.shown_metadata)
        self._task_event("task", step, payload)

    def updated(self, task: TaskView, writes: Writes, *, behind: Port | None = None) -> None:
        """A task has written to the state.

        Args:
            task: the task.
            writes: what it wrote.
            behind: a port whose chunks the update must not overtake, if nobody has waited for them.
        """
        if self.updates and self._wants(task):
            self._emit("updates", {task.name: self._update(writes)}, behind)

    def ended(
        self,
        step: int,
        task: TaskView,
        writes: Writes,
        error: BaseException | None,
        attempt: int,
        *,
        behind: Port | None = None,
    ) -> None:
        """A task has ended, with its writes or an error; `behind` as for `updated`."""
        if not self.tasks or not self._wants(task):
            return
        payload: dict[str, Any] = {
            "id": task.id,
            "name": task.name,
            "error": error,
            "result": _result(writes),
            "interrupts": [],
        }
        if attempt > 1:
            payload["attempt"] = attempt
        self._task_event("task_result", step, payload, behind)

    def writer(self, task: TaskView, *, blocking: bool, attempt: int) -> Port | StreamWriter:
        """The writer of one attempt's `custom` chunks."""
        if not self._wants(task):
            return no_writer
        shape = self.shaper("custom", attempt)
        if "custom" not in self._request.modes:
            return _printing(shape)
        return self._open("custom", blocking, shape)

    def asks(self, mode: StreamMode, task: TaskView, tags: Collection[str] = ()) -> bool:
        """Whether chunks of a mode are wanted of a task, or of a call inside it that has tags of its own."""
        request = self._request
        if mode not in request.modes and mode not in request.printed:
            return False
        if not tags or request.only is None:
            return self._wants(task)
        return request.only.node(task.name, (*task.tags, *tags))

    def port(self, mode: StreamMode, known: Sequence[Port], *, blocking: bool) -> Port | None:
        """Where a task writes its chunks of a mode; None if they are only printed.

        Args:
            mode: the mode.
            known: the ports the task has; a producer's chunks of all modes keep their order in one.
            blocking: as for `Port`.
        """
        if mode not in self._request.modes:
            return None
        policy = self._request.policy(mode)
        for port in known:
            if port.merger is self._merger and port.policy == policy:
                return port
        return self._open(mode, blocking, None)

    @property
    def own_port(self) -> Port:
        """The port for what is told of the graph run itself."""
        return self._port

    def plain_port(self, *, blocking: bool) -> Port:
        """A port for what a task is to write as it is, of no mode."""
        return self._open(None, blocking, None)

    def _open(self, mode: StreamMode | None, blocking: bool, shape: Callable[[Any], Any] | None) -> Port:
        policy = "wait" if mode is None else self._request.policy(mode)
        if self._home is not None:
            return RemotePort(self._merger, self._home, policy, shape=shape)
        return Port(self._merger, policy, blocking=blocking, shape=shape)

    def message(self, message: Any, metadata: Mapping[str, Any], *, behind: Port | None) -> None:
        """A task has returned a message that nobody has seen."""
        self._emit("messages", (message, dict(metadata)), behind)

    def is_in(self, merger: Merger) -> bool:
        """Whether its chunks go into that stream."""
        return merger is self._merger

    def stop_with(self, clock: Clock | None) -> None:
        """Stop a clock whenever the reader holds this graph run back."""
        self._port.clock = clock

    async def flush(self) -> None:
        """Wait until what was told so far is in the stream, so that nothing later can overtake it."""
        if self._port.pending:
            await self._port.flush()

    @property
    def relaying(self) -> bool:
        """Whether runs on other loops have written to this stream."""
        return self._merger.relay_port is not None and not self.remote

    async def flush_relay(self) -> None:
        """Wait until what they have written is in the stream."""
        merger = self._merger
        merger.drain_inbox()
        if merger.relay_port is not None:
            await merger.relay_port.flush()

    async def relieved(self) -> None:
        """Wait while this graph run's own chunks are over the mark."""
        await self._port

    def hold_reader(self) -> bool:
        """Do not wake the reader until `free_reader`; False if it would not be woken anyway."""
        return not self.remote and self._merger.hold_reader()

    def free_reader(self) -> None:
        """Wake the reader if there is something for it."""
        self._merger.free_reader()

    @property
    def pending(self) -> bool:
        """Whether `flush` would wait."""
        return self._port.pending

    def close(self) -> None:
        """The graph run has ended."""
        self._port.close()

    # ---------------------------------------------------------------- chunks

    def _wants(self, task: TaskView) -> bool:
        only = self._request.only
        if only is None:
            return True
        wanted = self._wanted.get(task.name)
        if wanted is None:
            wanted = self._wanted[task.name] = only.node(task.name, task.tags)
        return wanted

    def _update(self, writes: Writes) -> Any:
        if self._bare is not None:
            values = [v for k, v in writes if k == self._bare]
            return values[0] if len(values) == 1 else values or None
        keys = self._keys
        shown = writes if keys is None else [w for w in writes if w[0] in keys]
        if not shown:
            return None
        merged = dict(shown)
        return merged if len(merged) == len(shown) else [{k: v} for k, v in shown]

    def _task_event(self, kind: str, step: int, payload: dict[str, Any], behind: Port | None = None) -> None:
        self._emit("tasks", payload, behind)
        if "debug" in self._request.modes or "debug" in self._request.printed:
            now = datetime.now(timezone.utc).isoformat()
            event = {"step": step, "timestamp": now, "type": kind, "payload": dict(payload)}
            self._emit("debug", event, behind)

    def _emit(self, mode: StreamMode, data: Any, behind: Port | None = None) -> None:
        request = self._request
        if mode in request.printed:
            self._print(mode, data)
        if mode in request.modes:
            item = self._shape(mode, data)
            if self.remote:
                self._port(item)
            elif behind is not None and behind.pending and behind.merger is self._merger:
                behind.put(item)
            elif not self._port.closed:  # by a node that ends as if it had not been cancelled
                self._port.put(item)

    def _shape(self, mode: StreamMode, data: Any) -> Any:
        item = self._shape_item(mode, data)
        return item if self._wrap is None else self._wrap(item)

    def _shape_item(self, mode: StreamMode, data: Any) -> Any:
        request = self._request
        if request.version == "v2":
            part = {"type": mode, "ns": self._namespace, "data": data}
            if mode == "values":
                part["interrupts"] = ()
            return part
        if request.subgraphs:
            return (self._namespace, mode, data) if request.tagged else (self._namespace, data)
        return (mode, data) if request.tagged else data

    def shaper(self, mode: StreamMode, attempt: int) -> Callable[[Any], Any] | None:
        """The hot path of `_shape`: one closure per writer instead of a decision per chunk."""
        request, ns = self._request, self._namespace
        shape: Callable[[Any], Any] | None
        if request.version == "v2" and attempt > 1:
            shape = lambda chunk: {"type": mode, "ns": ns, "data": chunk, "attempt": attempt}  # noqa: E731
        elif request.version == "v2":
            shape = lambda chunk: {"type": mode, "ns": ns, "data": chunk}  # noqa: E731
        elif request.subgraphs:
            shape = (lambda c: (ns, mode, c)) if request.tagged else (lambda c: (ns, c))
        else:
            shape = (lambda c: (mode, c)) if request.tagged else None
        if self._wrap is not None:
            shape = self._wrap if shape is None else _both(shape, self._wrap)
        if mode not in request.printed:
            return shape

        def printed(chunk: Any) -> Any:
            self._print(mode, chunk)
            return chunk if shape is None else shape(chunk)

        return printed

    def _print(self, mode: StreamMode, data: Any) -> None:
        where = "|".join(self._namespace)
        print(f"[{mode}] {where}: {data!r}" if where else f"[{mode}] {data!r}")


def _both(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda chunk: second(first(chunk))


def _printing(shape: Callable[[Any], Any] | None) -> StreamWriter:
    def write(chunk: Any) -> Receipt:
        if shape is not None:
            shape(chunk)
        return DONE

    return write


def _fresh(value: Any) -> Any:
    """A node's input as a chunk may hold it: editing the chunk must not reach the node."""
    return dict(value) if type(value) is dict else value


def no_writer(chunk: Any, /) -> Receipt:
    """The writer of a node whose chunks nobody asked for."""
    return DONE


def no_writer_in_thread(chunk: Any, /) -> Receipt:
    """The same for a sync node, whose thread learns of its cancellation when it writes."""
    check_cancelled()
    return DONE


def _result(writes: Writes) -> dict[str, Any]:
    result: dict[str, Any] = {}
    repeated: dict[str, list[Any]] = {}
    for key, value in writes:
        if key in repeated:
            repeated[key].append(value)
        elif key in result:
            repeated[key] = [result[key], value]
        else:
            result[key] = value
    for key, several in repeated.items():
        result[key] = {"$writes": several}
    return result


class Projector:
    """Makes the feeds of one stream.

    Args:
        request: what the stream's caller asked for.
        merger: the stream.
        base: where the graph that was called lies.
        wrap: turns each item into what the reader gets; then graphs that show nothing have a feed as well, for what
            others write of them.
    """

    __slots__ = ("_base", "_wrap", "merger", "request", "seen")

    def __init__(
        self,
        request: StreamRequest,
        merger: Merger,
        base: Namespace = (),
        wrap: Callable[[Any], Any] | None = None,
    ) -> None:
        self.request: StreamRequest = request
        self.merger: Merger = merger
        self._base = len(base)
        self._wrap = wrap
        self.seen: set[str] = set()

    def feed(self, namespace: Namespace, graph: GraphView, keys: str | Collection[str] | None = None) -> Feed | None:
        """The feed of the graph run at `namespace`, or None if it is not to be shown.

        Args:
            namespace: where the graph run lies.
            graph: the graph.
            keys: what a subgraph shows of its state, None for everything; the root shows what was asked for.
        """
        root = len(namespace) == self._base
        shows = self._shows(namespace, root)
        if not shows and self._wrap is None:
            return None
        request = self.request if shows else replace(self.request, modes=frozenset(), printed=frozenset())
        shown = self.request.output_keys if root else keys
        return Feed(request, self.merger, namespace, graph, shown, seen=self.seen, wrap=self._wrap)

    def _shows(self, namespace: Namespace, root: bool) -> bool:
        if not root and not self.request.subgraphs:
            return False
        only = self.request.only
        return only is None or only.graph(path_of(namespace[self._base :]))


def path_of(namespace: Iterable[str]) -> tuple[str, ...]:
    """The path of node names in a namespace; repeated calls within one task count as the same place.

    Example:
        ```python
        from penstock.streams import path_of

        assert path_of(("outer:123", "1", "inner:456")) == ("outer", "inner")
        ```
    """
    return tuple(segment.rpartition(":")[0] for segment in namespace if ":" in segment)

"""One task of a superstep, and one attempt at it.

A task's identity, namespace, metadata and config are computed when somebody asks for them: most runs never do.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config import RunConfig, RunnableConfig, TaskScope
from ..config._scope import _current
from ..errors import NodeError
from ..streams import Feed, Merger, Port, Throttle, no_writer, no_writer_in_thread
from ..types import Namespace, Send, StreamMode, StreamWriter
from ._emitter import Emitter, Receipts, Target
from ._foreign import LANGCHAIN, bridge
from ._observer import Span
from ._program import NodeSpec
from ._runtime import ExecutionInfo, Runtime
from ._spans import callbacks_by_hand, look_around
from ._step import Planned

if TYPE_CHECKING:
    from ._loop import GraphRun


class Task:
    """A node to run in one superstep, with its input."""

    __slots__ = ("_id", "attempt", "calls", "index", "input", "name", "run", "send", "span", "spec", "step")

    def __init__(self, run: GraphRun, planned: Planned, step: int, input_: Any) -> None:
        self.run: GraphRun = run
        self.spec: NodeSpec = planned.spec
        self.name: str = planned.spec.name
        self.send: Send | None = planned.send
        self.index: int = planned.index
        self.step: int = step
        self.input: Any = input_
        self.attempt: int = 1
        self.calls: int = 0  # of graphs, all attempts together
        self.span: Span | None = None
        self._id: str | None = None

    @property
    def id(self) -> str:
        if self._id is None:
            self._id = self.run.ids.next()
        return self._id

    @property
    def triggers(self) -> tuple[str, ...]:
        return self.spec.triggers if self.send is None else ("__pregel_push",)

    @property
    def path(self) -> tuple[Any, ...]:
        return ("__pregel_pull", self.name) if self.send is None else ("__pregel_push", self.index, False)

    @property
    def namespace(self) -> Namespace:
        """Where a graph that runs inside this task lies."""
        return (*self.run.namespace, f"{self.name}:{self.id}")

    @property
    def tags(self) -> Collection[str]:
        return (*self.run.config.tags, *self.spec.tags)

    @property
    def shown_metadata(self) -> Mapping[str, Any]:
        """The user's metadata, as `tasks` chunks show it."""
        config = self.run.config
        if not (config.metadata or self.spec.metadata or config.tags):
            return {}
        shown = {**config.metadata, **self.spec.metadata}
        return {**shown, "tags": list(config.tags)} if config.tags else shown

    def metadata(self, attempt: int) -> dict[str, Any]:
        """Everything a message or config says about where it comes from."""
        config = self.run.config
        out: dict[str, Any] = dict(config.metadata)
        if "thread_id" in config.configurable:
            out.setdefault("thread_id", config.configurable["thread_id"])
        out["langgraph_step"] = self.step
        out["langgraph_node"] = self.name
        out["langgraph_triggers"] = self.triggers
        out["langgraph_path"] = self.path
        out["langgraph_checkpoint_ns"] = "|".join(self.namespace)
        if self.run.namespace:
            out["checkpoint_ns"] = self.run.namespace[0]
        if attempt > 1:
            out["langgraph_attempt"] = attempt
        out.update(self.spec.metadata)
        return out


_NO_CONTEXT = contextvars.Context()


class Attempt(TaskScope):
    """One attempt at a task: its context, its writer, and the runs that were started inside it."""

    __slots__ = (
        "_lent",
        "_writer",
        "aborted",
        "behind",
        "children",
        "context",
        "ended",
        "error",
        "holds_slot",
        "number",
        "ports",
        "span",
        "task",
        "throttle",
        "writes",
    )

    def __init__(self, task: Task, number: int, holds_slot: bool = False, error: NodeError | None = None) -> None:
        self.task: Task = task
        self.number: int = number
        task.attempt = number
        self.holds_slot: bool = holds_slot
        self.error: NodeError | None = error
        run = task.run
        self.throttle: Throttle = Throttle(run.deadline, None if run.parent is None else run.parent.throttle, run.clock)
        self.context: contextvars.Context = run.context.copy()
        self.context.run(_current.set, self)
        self.children: set[Any] = set()
        self.ended: bool = False
        self.aborted: bool = False
        self._writer: StreamWriter | None = None
        self.ports: list[Port] = []
        self.writes: Sequence[tuple[str, Any]] = ()
        self._lent = 0
        self.span: Span | None = None
        self.behind: list[Port] = []
        if run.span is None and LANGCHAIN in sys.modules:
            self.connect()

    def connect(self) -> None:
        """Let LangChain's objects find the run, if they are there."""
        foreign = bridge()
        if foreign is not None:
            foreign.prepare(self)

    # ---------------------------------------------------------------- what the node can ask for

    @property
    def writer(self) -> StreamWriter:
        if self._writer is None:
            self._writer = self._open_writer()
        return self._writer

    def _open_writer(self) -> StreamWriter:
        writer = self._open_custom()
        span = self.span
        return _ObservedWriter(writer, span) if span is not None and span.hears_custom else writer

    def _open_custom(self) -> StreamWriter:
        feed = self.custom_feed()
        blocking = self.task.spec.kind.in_thread
        writer = no_writer if feed is None else feed.writer(self.task, blocking=blocking, attempt=self.number)
        if writer is no_writer:
            return no_writer_in_thread if blocking else no_writer
        if isinstance(writer, Port):
            self._adopt(writer)
            # Calling a method costs less than calling an object: 40 ns of each chunk.
            return writer.__call__ if writer.shape is not None else writer.write
        return writer

    def _adopt(self, port: Port) -> None:
        if self.ended or self.aborted:
            port.close(aborted=self.aborted)
            return
        port.clock = self.throttle
        self.ports.append(port)
        if not port.blocking:
            self.throttle.ports.append(port)

    def custom_feed(self) -> Feed | None:
        """The innermost stream that wants `custom` chunks: it captures them."""
        for feed in self.task.run.feeds:
            if feed.custom:
                return feed
        return None

    def emitter(self, mode: StreamMode, tags: Collection[str] = ()) -> Emitter | None:
        """Writes chunks of a mode to every stream that asks for them; None if there is none.

        Args:
            mode: any mode but `custom`, which the innermost stream captures.
            tags: what the call in whose name it writes is tagged with, besides the node's own tags.
        """
        feeds = [feed for feed in self.task.run.feeds if feed.asks(mode, self.task, tags)]
        return Emitter([self._target(feed, mode) for feed in feeds]) if feeds else None

    def port_in(self, merger: Merger) -> Port | None:
        """Where events of what goes on in it are written, for one reader of such."""
        for port in self.ports:
            if port.merger is merger and not port.lossy:
                return port
        for feed in self.task.run.feeds:
            if feed.is_in(merger):
                port = feed.plain_port(blocking=self.task.spec.kind.in_thread)
                self._adopt(port)
                return port
        return None

    def _target(self, feed: Feed, mode: StreamMode) -> Target:
        if feed is self.custom_feed():
            _ = self.writer  # opens its port: what the node writes itself is to keep its order with these chunks
        port = feed.port(mode, self.ports, blocking=self.task.spec.kind.in_thread)
        if port is not None and port not in self.ports:
            self._adopt(port)
        return port, feed.shaper(mode, self.number)

    @property
    def run_config(self) -> RunConfig:
        """The config of a run that is started inside: the node's metadata goes along."""
        config, metadata = self.task.run.config, self.task.spec.metadata
        return replace(config, metadata={**config.metadata, **metadata}) if metadata else config

    def config(self) -> RunnableConfig:
        config = self.run_config.as_dict()
        config["metadata"] = self.task.metadata(self.number)
        callbacks = callbacks_by_hand(look_around())
        if callbacks is not None:  # for what the config is passed on to: work inside of this one
            config["callbacks"] = callbacks
            config.pop("run_name", None)
            config.pop("run_id", None)
        return config

    @property
    def runtime(self) -> Runtime[Any]:
        task = self.task
        info = ExecutionInfo(
            node=task.name,
            task_id=task.id,
            checkpoint_ns="|".join(task.namespace),
            step=task.step,
            node_attempt=self.number,
        )
        return Runtime(context=task.run.user_context, stream_writer=self.writer, execution_info=info)

    # ---------------------------------------------------------------- what the runtime asks for

    def input(self) -> Any:
        """The node's input; what one attempt does to it, the next does not see."""
        value = self.task.input
        return dict(value) if self.task.spec.retry and type(value) is dict else value

    def port_to(self, feed: Feed) -> Port | None:
        """The port of this attempt in a feed's stream, if it has written there."""
        for port in self.ports:
            if feed.is_in(port.merger):
                return port
        return None

    def child_namespace(self) -> Namespace:
        """Where the next graph that is called inside this attempt lies."""
        task = self.task
        namespace = task.namespace
        calls, task.calls = task.calls, task.calls + 1
        return namespace if calls == 0 else (*namespace, str(calls))

    def lend_slot(self) -> None:
        """Give the task's concurrency slot back while it waits for runs of its own."""
        self._lent += 1
        if self._lent == 1 and self.holds_slot:
            self.holds_slot = False
            self.task.run.release_slot()

    async def regain_slot(self) -> None:
        """Take the slot again once no run of its own is left."""
        self._lent -= 1
        if self._lent == 0 and not self.ended:
            self.holds_slot = await self.task.run.acquire_slot()

    def close(self) -> None:
        """The attempt has ended; what it wrote is still delivered."""
        self.ended = True
        for port in self.ports:
            port.close()
        # All of them lead back here. Without them reference counts free the run, and nothing waits for the collector.
        self.context = _NO_CONTEXT
        self.throttle.ports.clear()

    def abort(self) -> None:
        """The attempt is being cancelled: open its gates, so that cleanup code and threads are not held up."""
        self.aborted = True
        for port in list(self.ports):
            port.close(aborted=True)
        for child in list(self.children):
            child.abort()


class _ObservedWriter:
    """A stream writer whose chunks observers hear of as well."""

    __slots__ = ("_span", "_write")

    def __init__(self, write: StreamWriter, span: Span) -> None:
        self._write = write
        self._span = span

    def __call__(self, chunk: Any, /) -> Receipts:
        written = self._write(chunk)
        return Receipts([written, self._span.dispatch("custom", chunk)])

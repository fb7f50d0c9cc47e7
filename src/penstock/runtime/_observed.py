"""A graph's run, its supersteps, tasks and attempts as spans: what the loop does around them when somebody observes.

What the loop itself does is the same with observers and without.  Here is only what is told, and when:

* A span starts before any code of its work runs, and ends after everything of its work has been told.
* What is told waits for the reader of a view, if there is one, wherever the loop can wait.
* A node's update is told of the attempt first, then of the graph: `behind` it in the stream, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from ..constants import START, TAG_HIDDEN
from ..streams import DONE
from ._body import call_body
from ._observer import Span, SpanKind
from ._producer import flush_ports
from ._result import ParentCommand
from ._spans import add_tags, failing, open_span, room, set_span

if TYPE_CHECKING:
    from ._loop import GraphRun
    from ._program import Branch
    from ._step import Outcome
    from ._task import Attempt, Task

# What a node calls is the first step of it, for LangGraph, which makes a chain of the function and its writes; routers
# come behind the writes.
_FIRST_STEP = ("seq:step:1",)
_FIRST_ROUTER = 3


async def execute_observed(run: GraphRun) -> Any:
    """Run a graph to its end, told as a span; returns the output."""
    if run.parent is not None and not run.remote:
        await flush_ports(run.parent.ports)  # what was told before stays before
    await room(run.around)
    run.span = span = _open_graph(run)
    # What its nodes find around them; their own spans take its place as they start.
    run.context = context = run.context.copy()
    context.run(set_span, span)
    manager = context.run(span.within)
    try:
        await span.receipt
        output = await run._execute()
    except ParentCommand as up:
        await span.end(up.command)  # noqa: ASYNC120 - a cancellation explains it as well
        raise
    except BaseException as error:
        span.fail_by(error)
        if run.parent is not None and not run.remote:
            run.parent.behind += [*run.behind, *(feed.own_port for feed in run.feeds)]
        raise
    finally:
        if manager is not None:
            context.run(manager.__exit__, None, None, None)
    await span.end(output)
    return output


def _open_graph(run: GraphRun) -> Span:
    config = run.config
    thread = {k: v for k, v in config.configurable.items() if k == "thread_id"}
    span = open_span(
        "graph",
        run.program.name,
        {"tags": config.tags, "metadata": config.metadata, "configurable": config.configurable, **run.identity},
        input=dict(run.writes),
        metadata={} if "thread_id" in config.metadata else thread,
        details={"namespace": run.namespace, "agent": run.program.is_agent},
        around=run.around,
        producer=run,
    )
    assert span is not None
    return span


# ---------------------------------------------------------------- supersteps and tasks


async def run_step_observed(run: GraphRun, tasks: Sequence[Task]) -> Sequence[Outcome]:
    """Run the tasks of a superstep, told as a span if anybody wants to hear of such."""
    graph = run.span
    assert graph is not None
    if not _hears(graph, "superstep"):
        return await run._run(tasks)
    details = {"step": run.step}
    run.step_span = span = _below("superstep", f"superstep {run.step}", graph, knows_input=False, details=details)
    span.start()
    with failing(span):
        try:
            outcomes = await run._run(tasks)
        finally:
            run.step_span = None
    await span.end([outcome.name for outcome in outcomes])
    return outcomes


async def observe_task(run: GraphRun, task: Task, work: Awaitable[Outcome]) -> Outcome:
    """Run a task, told as a span if anybody wants to hear of such."""
    around = run.step_span or run.span
    assert around is not None
    if not _hears(around, "task"):
        return await work
    details = {"step": task.step, "task_id": task.id}
    task.span = span = _below("task", task.name, around, input=task.input, details=details)
    span.start()
    with failing(span):
        outcome = await work
    await span.end(dict(outcome.writes))
    return outcome


def _hears(span: Span, kind: SpanKind) -> bool:
    return any(kind in observer.kinds for observer in span.observers)


def _below(kind: SpanKind, name: str, around: Span, **own: Any) -> Span:
    """A span inside of another one, which has everything from that but what it has of its own; not started yet."""
    inherited = {
        "parent": around,
        "observers": around.observers,
        "producer": around.producer,
        "tags": around.child_tags,
        "metadata": around.child_metadata,
        "child_tags": around.child_tags,
        "child_metadata": around.child_metadata,
        "configurable": around.configurable,
    }
    return Span(kind, name, **{**inherited, **own})


# ---------------------------------------------------------------- attempts


async def attempt_observed(run: GraphRun, attempt: Attempt) -> Outcome:
    """Make an attempt at a task, told as a span."""
    await flush_ports(run.behind)  # of the attempt before, if that has failed
    run.behind.clear()
    span = open_attempt(attempt)
    manager = attempt.context.run(span.within)
    try:
        await span.receipt
        return await run._attempt(attempt)
    except ParentCommand as up:
        await span.end(up.command)  # noqa: ASYNC120 - a cancellation explains it as well
        raise
    except BaseException as error:
        span.fail_by(error)
        run.behind += [*attempt.behind, *attempt.ports]
        raise
    finally:
        if manager is not None:
            attempt.context.run(manager.__exit__, None, None, None)


def open_attempt(attempt: Attempt) -> Span:
    """The span of an attempt, which what its node calls is inside of."""
    task = attempt.task
    run = task.run
    around = task.span or run.step_span or run.span
    assert around is not None
    at_start = task.name == START
    own = {**around.child_metadata, **task.metadata(attempt.number)}
    inherited = {**own, "checkpoint_ns": task.namespace[0]}
    tags = add_tags((f"graph:step:{task.step}",), around.child_tags)
    span = _below(
        "attempt",
        task.name,
        around,
        producer=attempt,
        tags=(*tags, TAG_HIDDEN) if at_start else tags,
        metadata=own,
        child_metadata=inherited,
        once=_FIRST_STEP,
        input=task.input,
        details={"step": task.step, "attempt": attempt.number},
    )
    attempt.span = span
    attempt.context.run(set_span, span)
    attempt.connect()
    span.start()
    return span


async def show_result(attempt: Attempt, value: Any, *, streamed: bool) -> None:
    """Tell that a node has returned; a generator's updates were told as it yielded them."""
    span = attempt.span
    assert span is not None
    told = span.stream(value) if not streamed and span.wants_chunks else DONE
    ended = span.end(value)  # now, and not when a slow reader has taken the chunk
    await told
    await ended


async def show_graph_update(run: GraphRun, task: Task, writes: Sequence[tuple[str, Any]]) -> None:
    """Tell an update of a node as a chunk of the graph; a view has chunks of its own for this."""
    span = run.span
    assert span is not None
    if span.wants_chunks:
        await span.stream({task.name: dict(writes) or None})


async def call_router_observed(attempt: Attempt, index: int, branch: Branch, seen: Any) -> Any:
    """Ask a router behind a node, told as a span; returns what it has chosen.

    Args:
        attempt: the node's.
        index: which of its routers.
        branch: the router.
        seen: what it is given.
    """
    around = attempt.span
    assert around is not None
    at_start = attempt.task.name == START
    tags = (f"seq:step:{_FIRST_ROUTER - at_start + index}", *around.child_tags)
    span = _below(
        "chain",
        branch.name,
        around,
        tags=(*tags, TAG_HIDDEN) if at_start else tags,
        metadata=around.metadata,  # not that of what the node calls: it stands beside that
        input=seen,
    )
    span.start()
    attempt.context.run(set_span, span)
    manager = attempt.context.run(span.within)
    with failing(span):
        try:
            await span.receipt
            chosen = await call_body(attempt, branch.kind, branch.body, seen)
        finally:
            if manager is not None:
                attempt.context.run(manager.__exit__, None, None, None)
            attempt.context.run(set_span, around)
    await span.end(chosen)
    return chosen

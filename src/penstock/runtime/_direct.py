"""A run in its caller's own task: what `ainvoke` does."""

from __future__ import annotations

from typing import Any

from ._failure import plain_error, strip_own_frames
from ._host import Call
from ._loop import GraphRun
from ._slot import slot_holder


async def run_here(call: Call) -> Any:
    """Run a graph to its end in the calling task; returns its output.

    Inside a node it is a nested run: shown by the streams that show subgraphs, ended with the node, and the node
    gives its concurrency slot back meanwhile.
    """
    graph_run = call.open(hosted=False)
    try:
        if call.parent is None or graph_run.remote:
            return await graph_run.execute()
        return await _run_nested(call, graph_run)
    except StopAsyncIteration as error:  # a reducer's: those of nodes have been replaced
        raise plain_error(error) from error
    except Exception as raised:
        failure = strip_own_frames(raised)
    # Not with a bare `raise` above, which on Python 3.10 brings the frames back.
    try:
        raise failure
    finally:
        del failure  # no cycle from the error through this frame back to it


async def _run_nested(call: Call, graph_run: GraphRun) -> Any:
    parent = call.parent
    assert parent is not None
    parent.children.add(graph_run)
    holder = slot_holder(parent, call.context)
    holder.lend_slot()
    try:
        return await graph_run.execute()
    finally:
        parent.children.discard(graph_run)
        await holder.regain_slot()  # noqa: ASYNC102 - a cancelled wait just gives up the slot

"""What is measured, in the order of the report."""

from __future__ import annotations

from ..model import Workload
from .agent import AGENT
from .cancel import CANCEL
from .chain import CHAIN
from .concurrent import CONCURRENT, CONCURRENT_MEMORY
from .depth import DEPTH
from .events import EVENTS, GRAPH_EVENTS
from .fanout import FANOUT
from .first_chunk import FIRST_CHUNK
from .imports import IMPORT, IMPORT_AGENT
from .loop import LOOP
from .models import MODELS
from .readers import SLOW_READER, STALLED_READER
from .state import GROWING_LIST, WIDE_STATE, WIDE_STATE_STEPS
from .sync_nodes import SYNC_ASTREAM, SYNC_STREAM
from .tokens import TOKENS

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        CHAIN,
        LOOP,
        FANOUT,
        *TOKENS,
        *MODELS,
        DEPTH,
        FIRST_CHUNK,
        CONCURRENT,
        CONCURRENT_MEMORY,
        SLOW_READER,
        STALLED_READER,
        CANCEL,
        WIDE_STATE,
        WIDE_STATE_STEPS,
        GROWING_LIST,
        SYNC_ASTREAM,
        SYNC_STREAM,
        AGENT,
        EVENTS,
        GRAPH_EVENTS,
        IMPORT,
        IMPORT_AGENT,
    )
}

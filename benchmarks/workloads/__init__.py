"""What is measured, in the order of the report."""

from __future__ import annotations

from ..model import Workload
from .cancel import CANCEL
from .chain import CHAIN
from .concurrent import CONCURRENT, CONCURRENT_MEMORY
from .depth import DEPTH
from .fanout import FANOUT
from .first_chunk import FIRST_CHUNK
from .imports import IMPORT
from .loop import LOOP
from .readers import SLOW_READER, STALLED_READER
from .state import GROWING_LIST, WIDE_STATE
from .sync_nodes import SYNC_ASTREAM, SYNC_STREAM
from .tokens import TOKENS

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        CHAIN,
        LOOP,
        FANOUT,
        *TOKENS,
        DEPTH,
        FIRST_CHUNK,
        CONCURRENT,
        CONCURRENT_MEMORY,
        SLOW_READER,
        STALLED_READER,
        CANCEL,
        WIDE_STATE,
        GROWING_LIST,
        SYNC_ASTREAM,
        SYNC_STREAM,
        IMPORT,
    )
}

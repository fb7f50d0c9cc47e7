"""Ports, the fan-in and the projector: how chunks get from nodes to the reader, and how readers slow nodes down.

This package is the inside of the library; users meet it as `RunStream` and the writer.
"""

from __future__ import annotations

from ._merger import DONE, Merger, Port, Receipt
from ._projector import Feed, Projector, no_writer, no_writer_in_thread, path_of
from ._request import (
    DEFAULT_HIGH_WATER_MARK,
    MODES,
    Selection,
    StreamRequest,
    parse_mark,
    parse_modes,
    parse_only,
    parse_overflow,
)
from ._throttle import Throttle, drive

__all__ = [
    "DEFAULT_HIGH_WATER_MARK",
    "DONE",
    "MODES",
    "Feed",
    "Merger",
    "Port",
    "Projector",
    "Receipt",
    "Selection",
    "StreamRequest",
    "Throttle",
    "drive",
    "no_writer",
    "no_writer_in_thread",
    "parse_mark",
    "parse_modes",
    "parse_only",
    "parse_overflow",
    "path_of",
]

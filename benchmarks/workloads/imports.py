"""What a program's first import costs, in a fresh interpreter whose bytecode is cached."""

from __future__ import annotations

from dataclasses import replace

from ..model import Workload

IMPORT = Workload(
    name="import",
    title="import of what a first program needs",
    unit="ms",
    sizes=({"imports": 1},),
    quick={"imports": 1},
    units=lambda size: 1,
    expected=lambda size: (),
    metric="import",
)
IMPORT_AGENT = replace(IMPORT, name="import-agent", title="import of what a first agent needs")

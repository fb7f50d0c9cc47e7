"""What a program's first import costs, in a fresh interpreter whose bytecode is cached."""

from __future__ import annotations

from ..model import Targets, Workload

IMPORT = Workload(
    name="import",
    title="import of what a first program needs",
    unit="ms",
    sizes=({"imports": 1},),
    quick={"imports": 1},
    units=lambda size: 1,
    expected=lambda size: (),
    metric="import",
    targets=Targets(above_anyio=60),
)

"""The graphs and runs of every recording; importing this registers them all."""

from . import (
    control,
    ends,
    events_chains,
    events_graphs,
    events_inside,
    events_tools,
    failures,
    guides,
    modes,
    state,
    subgraphs,
    topology,
)

__all__ = [
    "control",
    "ends",
    "events_chains",
    "events_graphs",
    "events_inside",
    "events_tools",
    "failures",
    "guides",
    "modes",
    "state",
    "subgraphs",
    "topology",
]

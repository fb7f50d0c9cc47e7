"""The graphs and runs of every recording; importing this registers them all."""

from . import control, ends, failures, guides, modes, state, subgraphs, topology

__all__ = ["control", "ends", "failures", "guides", "modes", "state", "subgraphs", "topology"]

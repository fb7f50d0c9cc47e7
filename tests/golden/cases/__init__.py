"""The graphs and runs of every recording; importing this registers them all."""

from . import control, failures, guides, modes, state, subgraphs, topology

__all__ = ["control", "failures", "guides", "modes", "state", "subgraphs", "topology"]

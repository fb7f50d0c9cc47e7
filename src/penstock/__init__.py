"""Stream the execution of a graph while it runs, on asyncio and trio.

Graphs are built with :mod:`penstock.graph`, and everything a node may need lies in :mod:`penstock.types` and
:mod:`penstock.config`.  Importing this package loads nothing but the standard library.
"""

__version__ = "0.1.0"

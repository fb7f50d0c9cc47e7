"""Who is measured.  This table is all the runner knows; the modules are imported only inside workers.

A module offers one of: ``ROOT``, the import root of a LangGraph-shaped API; ``ENGINE``, a raw engine;
``PROGRAMS``, programs of its own by the name of the workload.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..backends import Backend
from ..graph_api import GraphApi
from ..model import Program, Size, Workload


@dataclass(frozen=True)
class System:
    name: str
    module: str
    backends: tuple[str, ...]
    imports: str
    """What a first program imports; for the ``import`` workload."""
    agent_imports: str = ""
    """What a first program with an agent imports; for ``import-agent``."""
    distribution: str | None = None
    """Whose version to report."""
    beside: str | None = None
    """Another distribution whose version weighs on the figures, if it is installed."""
    peer: bool = False
    """Lives in the peers' environment."""
    raw: bool = False

    def imports_for(self, workload: str) -> str:
        return {"import": self.imports, "import-agent": self.agent_imports}[workload]

    def load(self, backend: Backend) -> Loaded:
        """Raises ImportError when the system is not installed in this interpreter."""
        module: Any = import_module(f"{__name__}.{self.module}")
        if self.imports:
            # even if the module does not need it yet: absence shows at once, not at the first workload
            import_module(self.imports.split()[1])
        return Loaded(module, backend)


@dataclass(frozen=True)
class Loaded:
    module: Any
    backend: Backend

    def program(self, workload: Workload, size: Size) -> Program | None:
        """None when this system does not have the workload."""
        if hasattr(self.module, "ROOT"):
            return workload.graph(GraphApi(self.module.ROOT, self.backend), size) if workload.graph else None
        if hasattr(self.module, "ENGINE"):
            engine = self.module.ENGINE(self.backend)
            able = workload.raw and all(hasattr(engine, method) for method in workload.needs)
            return workload.raw(engine, size) if workload.raw and able else None
        make = self.module.PROGRAMS.get(workload.name)
        return make(size, self.backend) if make else None


GRAPH_IMPORTS = "from {root}.graph import END, START, StateGraph"
AGENT_IMPORTS = "from {root}.prebuilt import create_react_agent"

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            "penstock",
            "penstock",
            ("asyncio", "uvloop", "trio"),
            GRAPH_IMPORTS.format(root="penstock"),
            AGENT_IMPORTS.format(root="penstock"),
            distribution="penstock",
            beside="langchain-core",
        ),
        System(
            "langgraph",
            "langgraph",
            ("asyncio",),
            GRAPH_IMPORTS.format(root="langgraph"),
            AGENT_IMPORTS.format(root="langgraph"),
            distribution="langgraph",
            beside="langchain-core",
            peer=True,
        ),
        System(
            "pydantic-graph",
            "pydantic_graph",
            ("asyncio",),
            "from pydantic_graph import BaseNode, End, GraphBuilder, GraphRunContext",
            distribution="pydantic-graph",
            peer=True,
        ),
        System(
            "llama-index",
            "llama_index",
            ("asyncio",),
            "from workflows import Context, Workflow, step",
            distribution="llama-index-workflows",
            peer=True,
        ),
        System(
            "burr",
            "burr",
            ("asyncio",),
            "from burr.core import ApplicationBuilder, State, action",
            distribution="burr",
            peer=True,
        ),
        System("raw-anyio", "raw_anyio", ("asyncio", "uvloop", "trio"), "import anyio", distribution="anyio", raw=True),
        System("raw-asyncio", "raw_asyncio", ("asyncio", "uvloop"), "import asyncio", raw=True),
        System("raw-trio", "raw_trio", ("trio",), "import trio", distribution="trio", raw=True),
        System("floor", "floor", ("asyncio", "trio"), "", raw=True),
    )
}

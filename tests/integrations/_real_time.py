"""For tests that speak to servers on loopback, in real time: a clock that jumps would run into the clients' timeouts."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest

# The SDKs are large. Imported before the tests begin, they are out of the collector's sight, which looks at everything
# after each test.
for _name in ("openai.resources.chat.completions", "openai.resources.responses", "anthropic.resources.messages"):
    with suppress(ImportError):
        import_module(_name)


@pytest.fixture
def anyio_backend(backend_id: str) -> tuple[str, dict[str, Any]]:
    """What anyio's plugin runs the test on: the named backend with its own clock."""
    if backend_id == "trio":
        return "trio", {}
    if backend_id == "asyncio+uvloop":
        import uvloop

        return "asyncio", {"loop_factory": uvloop.new_event_loop}
    return "asyncio", {"loop_factory": _eager_loop} if backend_id == "asyncio+eager" else {}


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop

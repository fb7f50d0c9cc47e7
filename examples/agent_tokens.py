"""Stream an agent's tokens: its calls of tools piece by piece, the tools' answers, and its own answer.

Run it: ``python -m examples.agent_tokens``
"""

from __future__ import annotations

from typing import Any

import anyio

from examples._model import choose_model
from examples.agent_updates import INPUT, SCRIPT, build


def show(token: Any, metadata: dict[str, Any]) -> None:
    for call in getattr(token, "tool_call_chunks", ()):
        print(f"  {metadata['langgraph_node']}: calls {call['name'] or ''}{call['args']}")
    if token.text:
        print(f"  {metadata['langgraph_node']}: {token.text!r}")


async def stream_async() -> None:
    print("async")
    async for token, metadata in build(choose_model(SCRIPT)).astream(INPUT, stream_mode="messages"):
        show(token, metadata)


def main() -> None:
    print("sync")
    for token, metadata in build(choose_model(SCRIPT)).stream(INPUT, stream_mode="messages"):
        show(token, metadata)
    anyio.run(stream_async)


if __name__ == "__main__":
    main()

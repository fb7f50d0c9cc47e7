"""Tools: functions that a model can call.

A tool knows what the model is told about it, reads what the model writes, and fills in what only the program knows.
Any function with a docstring is accepted where a tool is.

Example:
    ```python
    from penstock.tools import tool

    @tool
    def weather(city: str) -> str:
        \"\"\"Tell the weather of a city.\"\"\"
        return f"It is sunny in {city}"

    assert weather.args == {"city": {"type": "string"}}
    answer = weather.invoke({"type": "tool_call", "name": "weather", "args": {"city": "Rome"}, "id": "c1"})
    assert answer.content == "It is sunny in Rome"
    ```
"""

from __future__ import annotations

from ._decorator import ForeignTool, ToolLike, as_tool, tool
from ._markers import InjectedState, InjectedStore, InjectedToolArg, InjectedToolCallId
from ._runtime import ToolRuntime
from ._tool import Tool

__all__ = [
    "ForeignTool",
    "InjectedState",
    "InjectedStore",
    "InjectedToolArg",
    "InjectedToolCallId",
    "Tool",
    "ToolLike",
    "ToolRuntime",
    "as_tool",
    "tool",
]

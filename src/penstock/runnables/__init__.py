"""Chains: prompts, models, parsers, tools, functions and graphs, one after the other or side by side.

`a | b` makes a chain. It is called at once or streamed, sync or async, alone, in a node, or as a node.

Example:
    ```python
    from penstock.runnables import ChatPromptTemplate, StrOutputParser
    from penstock.testing import ScriptedChatModel

    prompt = ChatPromptTemplate.from_template("Tell me a joke about {topic}")
    chain = prompt | ScriptedChatModel(["What do cats call a bowl of mice? A purrfect meal."]) | StrOutputParser()

    assert [piece async for piece in chain.astream({"topic": "cats"})][:3] == ["What", " do", " cats"]
    ```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._composable import Composable

if TYPE_CHECKING:
    from ..config import RunnableConfig
    from ._again import RunnableRetry, RunnableWithFallbacks
    from ._function import RunnableLambda
    from ._parallel import RunnableAssign, RunnableParallel, RunnablePassthrough
    from ._parsers import JsonOutputParser, StrOutputParser
    from ._prompts import (
        ChatPromptTemplate,
        ChatPromptValue,
        MessagesPlaceholder,
        PromptTemplate,
        StringPromptValue,
    )
    from ._runnable import Runnable
    from ._sequence import RunnableSequence
    from ._stream import ChainStream

__all__ = [
    "ChainStream",
    "ChatPromptTemplate",
    "ChatPromptValue",
    "Composable",
    "JsonOutputParser",
    "MessagesPlaceholder",
    "PromptTemplate",
    "Runnable",
    "RunnableAssign",
    "RunnableConfig",
    "RunnableLambda",
    "RunnableParallel",
    "RunnablePassthrough",
    "RunnableRetry",
    "RunnableSequence",
    "RunnableWithFallbacks",
    "StrOutputParser",
    "StringPromptValue",
]

# Where the names above come from. Loaded when one is asked for: a graph needs `Composable` only, and the others are a
# tenth of what its import would cost.
_HOMES = {
    "..config": ("RunnableConfig",),
    "._again": ("RunnableRetry", "RunnableWithFallbacks"),
    "._function": ("RunnableLambda",),
    "._parallel": ("RunnableAssign", "RunnableParallel", "RunnablePassthrough"),
    "._parsers": ("JsonOutputParser", "StrOutputParser"),
    "._prompts": (
        "ChatPromptTemplate",
        "ChatPromptValue",
        "MessagesPlaceholder",
        "PromptTemplate",
        "StringPromptValue",
    ),
    "._runnable": ("Runnable",),
    "._sequence": ("RunnableSequence",),
    "._stream": ("ChainStream",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

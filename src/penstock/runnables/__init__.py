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
from ._runnable import Composable, Runnable
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

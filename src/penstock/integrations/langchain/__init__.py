"""LangChain's models, tools and chains in nodes: `penstock[langchain]`.

There is nothing to configure. When LangChain has been imported by the time a node starts, what the node calls of it
shows its tokens in `messages` mode, its runs in `astream_events`, finds the config of the run, and reports to the run's
callbacks. LangChain's callback handlers, in a config, hear of everything in a run: graphs, nodes, chains, models and
tools, of either library. Importing this module does not import LangChain.

Example:
    ```python
    import pytest

    pytest.importorskip("langchain_core")

    from langchain_core.language_models import GenericFakeChatModel

    from penstock.graph import START, MessagesState, StateGraph

    model = GenericFakeChatModel(messages=iter(["Hello there"]))

    def call_model(state: MessagesState):
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node(call_model).add_edge(START, "call_model").compile()
    tokens = [c.content for c, _ in graph.stream({"messages": "Hi"}, stream_mode="messages")]
    assert "".join(tokens) == "Hello there"
    ```
"""

from __future__ import annotations

from typing import Any

from penstock.errors import MissingExtraError
from penstock.messages import BaseMessage
from penstock.runtime._foreign import add_bridge

__all__ = ["activate", "to_langchain"]


def activate() -> None:
    """Connect LangChain with the runs that start from now on; any number of times.

    A node that starts when LangChain has been imported does this by itself. Call it at the start of a program whose
    nodes import LangChain in their own code, which is too late for the first of them.

    Raises:
        MissingExtraError: LangChain is not installed, or too old; it is an `ImportError`.

    Example:
        ```python
        import pytest

        pytest.importorskip("langchain_core")

        from penstock.integrations.langchain import activate

        activate()
        ```
    """
    try:
        from ._context import LangChainBridge
        from ._messages import accept_ours
    except ImportError as error:
        raise _missing(error) from error
    accept_ours()
    add_bridge(LangChainBridge())


def to_langchain(message: BaseMessage) -> Any:
    """One of penstock's messages as LangChain's; not needed for models and prompts, which take either kind.

    Args:
        message: the message; what it holds is copied.

    Returns:
        A message of LangChain's class of the same name.

    Raises:
        MissingExtraError: LangChain is not installed; it is an `ImportError`.

    Example:
        ```python
        import pytest

        pytest.importorskip("langchain_core")

        from langchain_core.messages import HumanMessage as LangChainHumanMessage

        from penstock.integrations.langchain import to_langchain
        from penstock.messages import HumanMessage

        assert to_langchain(HumanMessage("Hi", id="1")) == LangChainHumanMessage("Hi", id="1")
        ```
    """
    try:
        from ._messages import as_langchain
    except ImportError as error:
        raise _missing(error) from error
    return as_langchain(message)


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"LangChain objects in nodes need langchain-core, which cannot be imported ({error}); "
        "pip install penstock[langchain]"
    )

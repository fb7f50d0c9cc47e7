"""Watch a tool that asks a model: the model's answer and its tokens, as events.

The tool is written twice: once it just calls its chain, once it asks for the config and passes that on.

Run it: ``python -m examples.tool_events``
"""

from __future__ import annotations

import anyio

from examples._model import choose_model
from penstock.config import RunnableConfig
from penstock.models import ChatModel
from penstock.runnables import ChatPromptTemplate, StrOutputParser
from penstock.tools import Tool, tool

SCRIPT = [["Bee", " def", "ies physics", ";", " Barry", " cho", "oses outfit", " for", " graduation", " day", "."]] * 5
LONG_TEXT = (
    "\nNARRATOR:\n(Black screen with text; The sound of buzzing bees can be heard)\n"
    "According to all known laws of aviation, there is no way a bee should be able to fly.\n"
)
INPUT = {"long_text": LONG_TEXT}
INSTRUCTIONS = "You are an expert writer. Summarize the following text in 10 words or less:\n\n{long_text}"


def reverse(text: str) -> str:
    return text[::-1]


def build(model: ChatModel) -> tuple[Tool, Tool]:
    chain = ChatPromptTemplate.from_template(INSTRUCTIONS) | model | StrOutputParser() | reverse

    @tool
    async def special_summarization_tool(long_text: str) -> str:
        """A tool that summarizes input text using advanced techniques."""
        summary: str = await chain.ainvoke({"long_text": long_text})
        return summary

    @tool
    async def special_summarization_tool_with_config(long_text: str, config: RunnableConfig) -> str:
        """A tool that summarizes input text using advanced techniques."""
        summary: str = await chain.ainvoke({"long_text": long_text}, config)
        return summary

    return special_summarization_tool, special_summarization_tool_with_config


async def show_answer(summarizer: Tool) -> None:
    async for event in summarizer.astream_events(INPUT, version="v2"):
        if event["event"] == "on_chat_model_end":
            print(f"  {event['name']} {event['tags']}: {event['data']['output'].text}")


async def show_tokens(summarizer: Tool) -> None:
    # Chosen at the source: other events are not even made.
    async for event in summarizer.astream_events(INPUT, version="v2", include_types=["chat_model"]):
        if event["event"] == "on_chat_model_stream":
            print(event["data"]["chunk"].text, end="|", flush=True)
    print()


async def show_tree(summarizer: Tool) -> None:
    async for event in summarizer.astream_events(INPUT, version="v2"):
        if event["event"].endswith("_start"):
            print("  " * len(event["parent_ids"]), event["event"], event["name"])


async def stream_async() -> None:
    naive, with_config = build(choose_model(SCRIPT))
    print("what the tool returns")
    print(" ", await naive.ainvoke(INPUT))
    print("what the model has said")
    await show_answer(naive)
    print("its tokens")
    await show_tokens(with_config)
    print("what is called inside of the tool")
    await show_tree(naive)
    print("what is called with the config stands beside the tool")
    await show_tree(with_config)


def main() -> None:
    anyio.run(stream_async)


if __name__ == "__main__":
    main()

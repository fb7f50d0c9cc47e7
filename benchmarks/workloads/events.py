"""``astream_events`` of a chain and of a graph around a model: what one event costs on its way to the consumer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..chat import script
from ..graph_api import GraphApi
from ..measure import Meter
from ..model import Program, Size, Workload
from ..raw import Engine
from .models import QUESTION, asking

Event = tuple[str, str]


def read(event: dict[str, Any]) -> Event:
    """What happened, and the text that came with it, if it was text."""
    data = event["data"]
    said = data.get("chunk", data.get("output", ""))
    text = getattr(said, "content", said)
    return event["event"], text if isinstance(text, str) else ""


def model_events(size: Size) -> Iterator[Event]:
    yield "on_chat_model_start", ""
    # the last chunk of an answer is empty
    yield from (("on_chat_model_stream", token) for token in (*script.tokens(size["tokens"]), ""))
    yield "on_chat_model_end", "".join(script.tokens(size["tokens"]))


def chain_events(size: Size) -> list[Event]:
    """Of the prompt, the model, the parser, and both the function and the whole, which count as chains."""
    tokens = (*script.tokens(size["tokens"]), "")
    text = "".join(tokens)
    prompt = [("on_prompt_start", ""), ("on_prompt_end", "")]
    parser = [("on_parser_start", ""), *(("on_parser_stream", token) for token in tokens), ("on_parser_end", text)]
    loud = script.shout(text)
    chains = [("on_chain_start", ""), ("on_chain_stream", loud), ("on_chain_end", loud)] * 2
    return [*prompt, *model_events(size), *parser, *chains]


def graph_events(size: Size) -> list[Event]:
    """Of the model, of the node, and of the graph; updates and states are no text."""
    around = [(f"on_chain_{what}", "") for what in ("start", "stream", "end")] * 2
    return [*model_events(size), *around]


def chain(api: GraphApi, size: Size) -> Program:
    made = api.chat.chain(api.chat.speaker(size["tokens"], "burst", api.backend.turn))
    return consumed(made, {"what": "something"})


def graph(api: GraphApi, size: Size) -> Program:
    return consumed(asking(api, api.chat.speaker(size["tokens"], "burst", api.backend.turn)), QUESTION)


def consumed(made: Any, given: Any) -> Program:
    async def run(meter: Meter) -> None:
        take = meter.take
        async for event in made.astream_events(given, version="v2"):
            take(event)

    return Program(run, read)


def raw(engine: Engine, events: Iterable[Event]) -> Program:
    """A dict per event, as whoever watches gets it."""
    listed = list(events)

    def items() -> Iterable[Any]:
        for event, text in listed:
            data = {"chunk": text}
            yield {
                "event": event, "name": "raw", "run_id": "", "parent_ids": [], "tags": [], "metadata": {}, "data": data
            }  # fmt: skip

    return Program(lambda meter: engine.pour([items()], "burst", meter.take), read)


def _workload(name: str, title: str, events: Any, program: Any, **more: Any) -> Workload:
    return Workload(
        name=name,
        title=title,
        unit="event",
        sizes=({"tokens": 100}, {"tokens": 1_000}),
        large=({"tokens": 10_000},),
        quick={"tokens": 5},
        units=lambda size: len(events(size)),
        expected=events,
        order="by-source",  # each kind of event in its own order: the runs of a chain's parts overlap
        graph=program,
        raw=lambda engine, size: raw(engine, events(size)),
        needs=("pour",),
        **more,
    )


EVENTS = _workload("events", "astream_events of a chain: prompt, model, parser, function", chain_events, chain)
GRAPH_EVENTS = _workload("graph-events", "astream_events of a graph whose node calls a model", graph_events, graph)

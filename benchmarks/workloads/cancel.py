"""Leave the loop while many nodes sleep: how long until each has ended, its cleanup included."""

from __future__ import annotations

from typing import Any

from ..graph_api import GraphApi
from ..measure import Meter, WrongAnswer
from ..model import Program, Size, Workload
from ..raw import Engine
from .fanout import Share, Shared


class Ended:
    """Counts the nodes whose ``finally`` has run: a task left behind must not pass for a fast cancel."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1

    def check(self, nodes: int) -> None:
        if self.count != nodes:
            raise WrongAnswer(f"{self.count} of {nodes} nodes had ended when the cancel returned")


def expected(size: Size) -> list[int]:
    return sorted(list(range(size["nodes"])) * size["cancels"])


def graph(api: GraphApi, size: Size) -> Program:
    async def run(meter: Meter) -> None:
        for _ in range(size["cancels"]):
            ended = Ended()
            stream = sleepers(api, size["nodes"], ended).astream({"results": []}, stream_mode="custom")
            for _ in range(size["nodes"]):
                meter.take(await stream.__anext__())
            meter.start()
            await stream.aclose()
            meter.stop()
            ended.check(size["nodes"])

    return Program(run)


def sleepers(api: GraphApi, nodes: int, ended: Ended) -> Any:
    async def work(state: Any) -> None:
        try:
            api.get_stream_writer()(state["index"])
            await api.backend.forever()
        finally:
            ended()

    def share(state: Any) -> list[Any]:
        return [api.Send("work", {"index": index}) for index in range(nodes)]

    builder = api.StateGraph(Shared)
    builder.add_node("work", work, input_schema=Share)
    builder.add_conditional_edges(api.START, share, ["work"])
    builder.add_edge("work", api.END)
    return builder.compile()


def raw(engine: Engine, size: Size) -> Program:
    async def run(meter: Meter) -> None:
        for _ in range(size["cancels"]):
            ended = Ended()
            await engine.leave(size["nodes"], ended, meter)
            ended.check(size["nodes"])

    return Program(run)


CANCEL = Workload(
    name="cancel",
    title="leave the loop while nodes sleep",
    unit="cancel",
    sizes=({"nodes": 10, "cancels": 10}, {"nodes": 100, "cancels": 10}),
    large=({"nodes": 1000, "cancels": 10},),
    quick={"nodes": 3, "cancels": 2},
    units=lambda size: size["cancels"],
    expected=expected,
    order="any",
    laps=True,
    graph=graph,
    raw=raw,
    needs=("leave",),
)

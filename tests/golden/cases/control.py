"""Steering: `Command`, routers, `Send`."""

from collections.abc import Iterator
from typing import Any, Literal

import anyio
from typing_extensions import TypedDict

from ..harness import Run, ainvoke, astream, case, spectrum
from ..library import END, START, Command, Graph, Overwrite, Send, StateGraph, get_stream_writer
from ._shared import EMPTY, MAIN, XL, logger, plain_logger


@case(
    "Command(goto, update), goto list, goto Send, goto END, list of tuples, list of Commands, static edge",
    own=False,
    timed=True,
)
def graph_command() -> Iterator[Run]:
    # b and c were plain functions: here they take turns by the clock, as threads need not
    b, c = logger("b", 0.01), logger("c", 0.02)

    def build(ret: Any, static_edge: bool = False) -> Graph:
        def a(state: XL) -> Any:
            return ret()

        builder = StateGraph(XL).add_node("a", a, destinations=("b", "c")).add_node("b", b).add_node("c", c)
        if static_edge:
            builder.add_edge("a", "c")
        return builder.add_edge(START, "a").compile()

    def run(name: str, ret: Any, **kwargs: Any) -> Run:
        return astream(build(ret, **kwargs), EMPTY, stream_mode=["updates", "values", "tasks"], name=name)

    yield run("goto_update", lambda: Command(goto="b", update={"x": "A"}))
    yield run("goto_only", lambda: Command(goto="b"))
    yield run("update_only", lambda: Command(update={"x": "A"}))
    yield run("goto_list", lambda: Command(goto=["b", "c"], update={"x": "A"}))
    yield run("goto_send", lambda: Command(goto=Send("b", {"x": "s", "log": []})))
    yield run("goto_end", lambda: Command(goto=END, update={"x": "A"}))
    twice = [("log", ["t1"]), ("log", ["t2"])]
    yield run("update_tuples_same_key_twice", lambda: Command(goto="b", update=twice))
    both = [Command(goto="b", update={"log": ["1"]}), Command(goto="c", update={"log": ["2"]})]
    yield run("list_of_commands", lambda: both)
    yield run("list_of_dict_and_command", lambda: [{"log": ["d"]}, Command(goto="b")])
    yield run("command_plus_static_edge_runs_both", lambda: Command(goto="b", update={"x": "A"}), static_edge=True)
    yield run("goto_unknown_node", lambda: Command(goto="zzz"))
    yield run("update_unknown_key", lambda: Command(goto="b", update={"unknown": 1}))


@case(
    "routers: names, lists, END, path_map as dict and list, bool keys, async, annotated with Literal",
    timed=True,
)
def control_routers() -> Iterator[Run]:
    def build(route: Any, *path_map: Any) -> Graph:
        builder = StateGraph(XL).add_node("a", logger("a"))
        builder.add_node("b", logger("b", 0.01)).add_node("c", logger("c", 0.02)).add_edge(START, "a")
        return builder.add_conditional_edges("a", route, *path_map).compile()

    async def asynchronous(state: XL) -> str:
        await anyio.sleep(0.01)
        return "b"

    def annotated(state: XL) -> Literal["b", "c"]:
        return "c"

    class Chooser:
        def __call__(self, state: XL) -> str:
            return "b"

    graphs = {
        "name": build(lambda s: "b"),
        "list": build(lambda s: ["c", "b"]),
        "tuple": build(lambda s: ("b", "c")),
        "end": build(lambda s: END),
        "list_with_end": build(lambda s: ["b", END]),
        "dict": build(lambda s: "left", {"left": "b", "right": "c"}),
        "dict_end": build(lambda s: "stop", {"go": "b", "on": "c", "stop": END}),
        "dict_list": build(lambda s: ["right", "left"], {"left": "b", "right": "c"}),
        "bool": build(lambda s: s["log"] == ["a"], {True: "b", False: "c"}),
        "list_map": build(lambda s: "c", ["b", "c"]),
        "async": build(asynchronous),
        "literal": build(annotated),
        "object": build(Chooser()),
        "empty_list": build(lambda s: []),
        "same_twice": build(lambda s: ["b", "b"]),
    }
    for name, graph in graphs.items():
        yield astream(graph, EMPTY, stream_mode=MAIN, name=name)
    yield ainvoke(graphs["list"], EMPTY, name="ainvoke")


@case("routers see their node's own update, of this superstep, and not the siblings'", timed=True)
def control_router_state() -> Iterator[Run]:
    def showing(name: str) -> Any:
        async def route(state: XL) -> Any:
            get_stream_writer()((name, dict(state)))
            return END

        return route

    builder = StateGraph(XL)
    for i, name in enumerate("abc"):
        builder.add_node(name, logger(name, 0.01 * (i + 1))).add_edge(START, name)
        builder.add_conditional_edges(name, showing(name), [END])
    yield from spectrum(builder.compile(), {"x": "in", "log": ["in"]})

    def entry(state: XL) -> Any:
        get_stream_writer()(dict(state))
        return "a"

    builder = StateGraph(XL).add_node("a", logger("a")).add_conditional_edges(START, entry, ["a"])
    yield from spectrum(builder.compile(), {"x": "in"}, name="at_start")


@case("several routers on one node, with an edge besides; a router and a Command of the same node", timed=True)
def control_several_routers() -> Iterator[Run]:
    def build(node: Any) -> Graph:
        builder = StateGraph(XL).add_node("a", node, destinations=("d",))
        for i, name in enumerate("bcde"):
            builder.add_node(name, logger(name, 0.01 * (i + 1)))
        builder.add_edge(START, "a").add_edge("a", "e")
        builder.add_conditional_edges("a", first, ["c"]).add_conditional_edges("a", second, ["b", "c"])
        return builder.compile()

    def first(state: XL) -> str:
        return "c"

    def second(state: XL) -> Any:
        return ["b", "c"]

    def commanding(state: XL) -> Any:
        return Command(goto="d", update={"log": ["command"]})

    yield from spectrum(build(plain_logger("a")), EMPTY)
    yield from spectrum(build(commanding), EMPTY, name="command")


@case(
    "routers that return Sends: alone, mixed with names, with END, to a node with its own input schema",
    timed=True,
)
def control_router_sends() -> Iterator[Run]:
    class Job(TypedDict):
        name: str
        delay: float

    async def work(state: Job) -> Any:
        await anyio.sleep(state["delay"])
        return {"log": [f"work {state['name']} {sorted(state)}"]}

    def job(name: str, delay: float) -> Any:
        return Send("work", {"name": name, "delay": delay})

    routes: dict[str, Any] = {
        "one": lambda s: job("1", 0.0),
        "several": lambda s: [job("1", 0.02), job("2", 0.01)],
        "mixed": lambda s: [job("1", 0.02), "b", END, job("2", 0.01)],
        "none": lambda s: [],
    }
    for name, route in routes.items():
        builder = StateGraph(XL).add_node("a", plain_logger("a")).add_node(work).add_node("b", logger("b", 0.03))
        graph = builder.add_edge(START, "a").add_conditional_edges("a", route, ["work", "b", END]).compile()
        yield from spectrum(graph, EMPTY, name=name)


@case(
    "Command in async nodes: to oneself, to several with a Send, to END and a node, with an Overwrite",
    timed=True,
)
def control_command_goto() -> Iterator[Run]:
    def build(node: Any) -> Graph:
        builder = StateGraph(XL).add_node("a", node, destinations=("a", "b", "c", END))
        builder.add_node("b", logger("b", 0.01)).add_node("c", logger("c", 0.02))
        return builder.add_edge(START, "a").compile()

    async def again(state: XL) -> Command[Literal["a", "b"]]:
        await anyio.sleep(0.01)
        return Command(goto="a" if len(state["log"]) < 2 else "b", update={"log": ["again"]})

    async def several(state: XL) -> Any:
        return Command(goto=[Send("b", {"x": "sent", "log": []}), "c"], update={"x": "A"})

    async def sends(state: XL) -> Any:
        return Command(goto=[Send("c", EMPTY), Send("b", EMPTY)])

    async def end_and_node(state: XL) -> Any:
        return Command(goto=[END, "b"])

    async def overwrite(state: XL) -> Any:
        return Command(goto="b", update={"log": Overwrite(["over"])})

    async def many(state: XL) -> Any:
        return [
            Command(goto="b"),
            {"x": "dict"},
            Command(goto="c", update={"log": ["c"]}),
            Command(update={"x": "two"}),
        ]

    async def commands(state: XL) -> Any:
        return (Command(goto="b", update={"log": ["1"]}), Command(goto="b", update={"log": ["2"]}))

    for node in (again, several, sends, end_and_node, overwrite, many, commands):
        yield from spectrum(build(node), {"x": "", "log": ["in"]}, name=node.__name__)


@case(
    "Command(graph=PARENT): a subgraph's node updates and routes its parent, from one and two levels below",
    timed=True,
)
def control_command_parent() -> Iterator[Run]:
    def build(command: Any, deep: bool = False) -> Graph:
        async def leave(state: XL) -> Any:
            return command

        inner = (
            StateGraph(XL)
            .add_node("before", logger("before"))
            .add_node("leave", leave)
            .add_node("never", logger("never"))
            .add_edge(START, "before")
            .add_edge("before", "leave")
            .add_edge("leave", "never")
            .compile()
        )
        if deep:
            inner = (
                StateGraph(XL)
                .add_node("mid", inner, destinations=("b",))
                .add_node("b", logger("mid b"))
                .add_edge(START, "mid")
                .compile()
            )
        builder = StateGraph(XL).add_node("sub", inner, destinations=("b", "c"))
        builder.add_node("b", logger("b", 0.01)).add_node("c", logger("c", 0.02))
        return builder.add_edge(START, "sub").compile()

    up = Command.PARENT
    commands = {
        "goto": Command(graph=up, goto="b"),
        "goto_update": Command(graph=up, goto="b", update={"x": "from below", "log": ["from below"]}),
        "update_only": Command(graph=up, update={"x": "from below"}),
        "several": Command(graph=up, goto=["b", "c"], update={"x": "up"}),
        "send": Command(graph=up, goto=[Send("b", {"x": "sent", "log": []})]),
        "end": Command(graph=up, goto=END, update={"x": "up"}),
        "tuples": Command(graph=up, goto="b", update=[("log", ["1"]), ("log", ["2"])]),
    }
    for name, command in commands.items():
        yield from spectrum(build(command), EMPTY, name=name)
    yield from spectrum(build(commands["goto_update"], deep=True), EMPTY, name="deep")


@case(
    "Command(graph=PARENT) from a graph called inside a node, beside a sibling, and with a static edge",
    timed=True,
)
def control_command_parent_called() -> Iterator[Run]:
    async def leave(state: XL) -> Any:
        return Command(graph=Command.PARENT, goto="b", update={"x": "called"})

    inner = StateGraph(XL).add_node(leave).add_edge(START, "leave").compile()

    async def calling(state: XL) -> Any:
        await inner.ainvoke(EMPTY)
        return {"x": "not reached"}

    builder = StateGraph(XL).add_node("call", calling, destinations=("b",)).add_node("b", logger("b", 0.01))
    builder.add_node("sibling", logger("sibling", 0.02)).add_node("after", logger("after", 0.02))
    builder.add_edge(START, "call").add_edge(START, "sibling").add_edge("call", "after")
    yield from spectrum(builder.compile(), EMPTY)

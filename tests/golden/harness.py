"""Describe runs, perform them and write down what came out."""

from __future__ import annotations

import inspect
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .library import Graph
from .normalise import Normaliser, without_library, without_tool_ids

DATA = Path(__file__).parent / "data"
OWN = DATA / "own"

Outcome = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a case: a method of a graph with its arguments, or any call."""

    name: str
    method: str
    graph: Graph = None
    input: Any = None
    config: dict[str, Any] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    call: Callable[[], Any] | None = None
    on_chunk: Callable[[Any], None] | None = None
    only: Callable[[Any], bool] | None = None  # which chunks the consumer keeps

    @property
    def is_async(self) -> bool:
        return self.method not in ("stream", "invoke")

    @property
    def streams(self) -> bool:
        return self.method in ("stream", "astream", "astream_events")

    def start(self) -> Any:
        if self.call is not None:
            return self.call()
        return getattr(self.graph, self.method)(self.input, self.config, **self.kwargs)


def _maker(method: str) -> Callable[..., Run]:
    def make(
        graph: Graph,
        input: Any,
        config: dict[str, Any] | None = None,
        *,
        name: str,
        on_chunk: Callable[[Any], None] | None = None,
        **kwargs: Any,
    ) -> Run:
        return Run(name, method, graph, input, config, kwargs, on_chunk=on_chunk)

    return make


stream, astream, invoke, ainvoke = map(_maker, ("stream", "astream", "invoke", "ainvoke"))


def events(
    subject: Any,
    input: Any,
    config: dict[str, Any] | None = None,
    *,
    name: str,
    only: Callable[[Any], bool] | None = None,
    **kwargs: Any,
) -> Run:
    """The events of a graph, a chain, a model, a tool or any other step."""
    return Run(name, "astream_events", subject, input, config, {"version": "v2", **kwargs}, only=only)


def spectrum(
    graph: Graph,
    input: Any,
    config: dict[str, Any] | None = None,
    *,
    name: str = "",
    sync: bool = False,
    **kwargs: Any,
) -> Iterator[Run]:
    """The runs that together show most of what a graph does."""
    main = ["values", "updates", "custom", "tasks"]
    prefix = f"{name}." if name else ""
    yield astream(graph, input, config, stream_mode=main, name=f"{prefix}list", **kwargs)
    yield astream(graph, input, config, stream_mode=main, subgraphs=True, version="v2", name=f"{prefix}v2", **kwargs)
    yield astream(graph, input, config, stream_mode="debug", subgraphs=True, name=f"{prefix}debug", **kwargs)
    yield ainvoke(graph, input, config, name=f"{prefix}ainvoke", **kwargs)
    if sync:
        yield stream(graph, input, config, stream_mode=main, subgraphs=True, name=f"{prefix}sync", **kwargs)
        yield invoke(graph, input, config, name=f"{prefix}invoke", **kwargs)


def call(name: str, function: Callable[[], Any]) -> Run:
    return Run(name, "call", call=function)


@dataclass(frozen=True)
class Case:
    """A few graphs and the runs that are made of them."""

    name: str
    title: str
    build: Callable[[], Iterator[Run]]
    own: bool
    needs: str | None = None  # a module that this case can do nothing without
    timed: bool = False  # the order of chunks hangs on delays: virtual time only
    # Producers start at the same moment: which chunk of which comes first is left open, for chunks on trio, for events
    # everywhere.
    loose: bool = False

    @property
    def file(self) -> Path:
        return (OWN if self.own else DATA) / f"{self.name}.json"

    def runs(self) -> dict[str, Run]:
        named: dict[str, Run] = {}
        for run in self.build():
            assert run.name not in named, f"{self.name}: two runs are called {run.name!r}"
            named[run.name] = run
        return named

    def recorded(self) -> dict[str, Outcome]:
        recorded: dict[str, Outcome] = {}
        for run in json.loads(self.file.read_text(encoding="utf-8"))["runs"]:
            name = run["name"]
            recorded[f"{name}#2" if name in recorded else name] = run
        return recorded


CASES: dict[str, Case] = {}
"""What `test_golden` compares."""

EVENTS: dict[str, Case] = {}
"""What `test_events` compares: cases whose runs are of `astream_events`, nearly all."""

Build = Callable[[], Iterator[Run]]


def _registering(registry: dict[str, Case]) -> Callable[..., Callable[[Build], Build]]:
    def case(
        title: str, *, own: bool = True, needs: str | None = None, timed: bool = False, loose: bool = False
    ) -> Callable[[Build], Build]:
        def register(build: Build) -> Build:
            assert build.__name__ not in {*CASES, *EVENTS}
            registry[build.__name__] = Case(build.__name__, title, build, own, needs, timed, loose)
            return build

        return register

    return case


case, event_case = _registering(CASES), _registering(EVENTS)
"""Decorators that register a generator of runs under its own name."""


class Tape:
    """What happens during the one run that is being performed, in order."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.timeline: list[int | str] = []
        self._attempts: Counter[str] = Counter()
        self._gates: dict[str, threading.Event] = {}

    def mark(self, what: int | str) -> None:
        self.timeline.append(what)

    def attempt(self, what: str) -> int:
        """How many times this was asked, now included."""
        self._attempts[what] += 1
        return self._attempts[what]

    def gate(self, name: str) -> threading.Event:
        """Lets a thread wait for something the consumer has seen."""
        return self._gates.setdefault(name, threading.Event())


tape = Tape()

_EVENT = ("event", "name", "run_id", "parent_ids", "tags", "data", "metadata")


def as_event(shown: Any) -> Any:
    """An event with its keys in one order, which in LangChain hangs on the event, without what hangs on anything else."""
    known = {key: shown[key] for key in _EVENT if key in shown}
    return without_tool_ids(without_library({**known, **shown}))


class _Recorder:
    """The outcome of a run, while it grows."""

    def __init__(self, run: Run) -> None:
        tape.reset()
        self._normalise = Normaliser()
        self._on_chunk = run.on_chunk
        self._only = run.only
        self._events = run.method == "astream_events"
        self.raised: BaseException | None = None
        self.outcome: Outcome = {"name": run.name, "method": run.method}
        if run.call is None:
            arguments = {"input": run.input, "config": run.config, "kwargs": run.kwargs}
            self.outcome |= Normaliser()(arguments)
        self.outcome |= {"chunks": []} if run.streams else {"result": None}
        self.outcome["error"] = None

    def chunk(self, chunk: Any) -> None:
        if self._only is not None and not self._only(chunk):
            return
        chunks = self.outcome["chunks"]
        tape.mark(len(chunks))
        shown = self._normalise(chunk)  # before anybody can change it
        chunks.append(as_event(shown) if self._events else shown)
        if self._on_chunk is not None:
            self._on_chunk(chunk)

    def result(self, result: Any) -> None:
        self.outcome["result"] = self._normalise(result)

    def failed(self, error: BaseException) -> None:
        self.raised = error
        self.outcome["error"] = self._normalise(error)

    def finish(self) -> tuple[Outcome, BaseException | None]:
        if any(isinstance(what, str) for what in tape.timeline):
            self.outcome["timeline"] = list(tape.timeline)
        return self.outcome, self.raised


async def perform(run: Run) -> tuple[Outcome, BaseException | None]:
    """Perform an asynchronous run; returns what was recorded, and the live exception."""
    recorder = _Recorder(run)
    try:
        started = run.start()
        if run.streams:
            async for chunk in started:
                recorder.chunk(chunk)
        else:
            recorder.result(await started if inspect.isawaitable(started) else started)
    except Exception as error:
        recorder.failed(error)
    return recorder.finish()


def perform_sync(run: Run) -> tuple[Outcome, BaseException | None]:
    """Perform a run of the synchronous API."""
    recorder = _Recorder(run)
    try:
        started = run.start()
        if run.streams:
            for chunk in started:
                recorder.chunk(chunk)
        else:
            recorder.result(started)
    except Exception as error:
        recorder.failed(error)
    return recorder.finish()

"""`plan`, `commit` and `advance` against a naive model of supersteps."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.channels import MISSING, BinaryOperatorAggregate, Channel, EphemeralValue, LastValue
from penstock.errors import InvalidUpdateError
from penstock.runtime._program import BodyKind, Exits, Join, NodeSpec, Program, Reader
from penstock.runtime._step import Frontier, Outcome, advance, commit, in_reduce_order, plan
from penstock.types import Send

NAMES = "abcdef"
CHANNELS: dict[str, Channel[Any]] = {
    "log": BinaryOperatorAggregate(list, operator.add),
    "last": LastValue(int),
    "once": EphemeralValue(int),
}

names = st.sampled_from(NAMES)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Six nodes with random edges and joins, some of them deferred."""
    joins = []
    for index in range(draw(st.integers(0, 3))):
        sources = draw(st.frozensets(names, min_size=1, max_size=3))
        joins.append(Join(f"join {index}", sources, draw(names)))
    specs = {}
    for name in NAMES:
        targets = tuple(draw(st.lists(names, max_size=2, unique=True)))
        exits = Exits(targets, tuple(j for j in joins if name in j.sources))
        specs[name] = NodeSpec(name, BodyKind.ASYNC, lambda i, a: None, Reader(), exits, defer=draw(st.booleans()))
    entry = Exits(tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True))))
    return Program("random", CHANNELS, specs, entry, frozenset(CHANNELS), tuple(CHANNELS))


@dataclass
class Returned:
    """What a task returns in the test."""

    log: list[int]
    once: bool
    goto: list[str]
    sends: list[str]


returned = st.builds(
    Returned,
    log=st.lists(st.integers(0, 99), max_size=2),
    once=st.booleans(),
    goto=st.lists(names, max_size=2),
    sends=st.lists(names, max_size=2),
)


@dataclass
class Model:
    """Supersteps, told the long way: a list of everything that was ever triggered, and plain rules."""

    program: Program
    log: list[int] = field(default_factory=list)
    once: int | None = None
    due: list[str] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)

    def trigger(self, name: str) -> None:
        (self.put_off if self.program.nodes[name].defer else self.due).append(name)

    def tasks(self) -> list[tuple[str, Any]]:
        """Name and argument of the tasks of the next superstep; sends come first."""
        names = sorted(set(self.due))
        if not names and not self.sends:
            names, self.put_off = sorted(set(self.put_off)), []
        tasks: list[tuple[str, Any]] = [(s.node, s.arg) for s in self.sends]
        tasks += [(name, None) for name in names]
        self.due, self.sends = [], []
        return tasks

    def end(self, tasks: list[tuple[str, Any]], results: list[Returned]) -> None:
        """Edges before sends, whatever ended first."""
        pairs = list(zip(tasks, results, strict=False))
        by_edge = [(t, r) for t, r in pairs if t[1] is None]
        by_send = [(t, r) for t, r in pairs if t[1] is not None]
        self.once = None
        for (name, _), result in by_edge + by_send:
            self.log = self.log + result.log
            if result.once:
                self.once = 1
            exits = self.program.nodes[name].exits
            for target in (*exits.targets, *result.goto):
                self.trigger(target)
            for join in exits.joins:
                self.seen.setdefault(join.name, []).append(name)
                if set(self.seen[join.name]) == set(join.sources):
                    self.seen[join.name] = []
                    self.trigger(join.target)
            self.sends += [Send(target, f"{name} {i}") for i, target in enumerate(result.sends)]


@given(programs(), st.data())
def test_supersteps_are_those_of_the_model(program: Program, data: st.DataObject) -> None:
    frontier, values, model = Frontier(), dict[str, Any](), Model(program)
    advance(program, frontier, Outcome("__start__", (), program.entry))
    for target in program.entry.targets:
        model.trigger(target)
    for _ in range(4):
        planned = plan(program, frontier)
        expected = model.tasks()
        assert [(p.spec.name, None if p.send is None else p.send.arg) for p in planned] == expected
        assert [p.index for p in planned if p.send is not None] == list(range(sum(a is not None for _, a in expected)))
        if not planned:
            assert plan(program, frontier) == []
            return
        results = [data.draw(returned) for _ in planned]
        if sum(r.once for r in results) > 1:  # one writer at most
            for result in results:
                result.once = False
        outcomes = [
            Outcome(
                p.spec.name,
                [*(("log", [n]) for n in r.log), *([("once", 1)] if r.once else [])],
                p.spec.exits,
                r.goto,
                [Send(target, f"{p.spec.name} {i}") for i, target in enumerate(r.sends)],
            )
            for p, r in zip(planned, results, strict=False)
        ]
        before = dict(values)
        changes = commit(program, values, frontier, in_reduce_order(planned, outcomes))
        assert values == before  # pure
        model.end(expected, results)
        values.update(changes)
        values = {key: value for key, value in values.items() if value is not MISSING}
        assert values.get("log", []) == model.log
        assert values.get("once") == model.once


@given(programs(), st.lists(st.tuples(names, st.lists(st.integers(0, 9), max_size=2)), min_size=1, max_size=6))
def test_a_conflict_changes_nothing(program: Program, tasks: list[tuple[str, list[int]]]) -> None:
    frontier = Frontier(nodes={"a"})
    outcomes = [Outcome(name, [("log", [n]) for n in log], program.nodes[name].exits) for name, log in tasks]
    outcomes += [Outcome("a", [("last", 1)]), Outcome("b", [("last", 2)])]
    with pytest.raises(InvalidUpdateError, match="key 'last', written by 'a', 'b'"):
        commit(program, {"log": [1]}, frontier, outcomes)
    assert frontier == Frontier(nodes={"a"})


def spec(name: str, *, exits: Exits = Exits(), defer: bool = False) -> NodeSpec:
    return NodeSpec(name, BodyKind.ASYNC, lambda i, a: None, Reader(), exits, defer=defer)


def program_of(*specs: NodeSpec) -> Program:
    nodes = {s.name: s for s in specs}
    return Program("fixed", CHANNELS, nodes, Exits(), frozenset(CHANNELS), tuple(CHANNELS))


def names_of(program: Program, frontier: Frontier) -> list[str]:
    return [p.spec.name for p in plan(program, frontier)]


def test_a_join_waits_for_all_and_then_starts_over() -> None:
    join = Join("join", frozenset("ab"), "c")
    exits = Exits(joins=(join,))
    program = program_of(spec("a", exits=exits), spec("b", exits=exits), spec("c"))
    frontier = Frontier()
    for _ in range(2):
        commit(program, {}, frontier, [Outcome("a", exits=exits)])
        commit(program, {}, frontier, [Outcome("a", exits=exits)])
        assert names_of(program, frontier) == []
        commit(program, {}, frontier, [Outcome("b", exits=exits)])
        assert names_of(program, frontier) == ["c"]


@pytest.mark.parametrize("defer", [False, True])
@pytest.mark.parametrize("ended", ["ab", "ba"])
def test_a_source_that_comes_again_with_the_last_one_belongs_to_the_same_round(ended: str, defer: bool) -> None:
    join = Join("join", frozenset("ab"), "c")
    exits = Exits(joins=(join,))
    program = program_of(spec("a", exits=exits), spec("b", exits=exits), spec("c", defer=defer))
    frontier = Frontier()
    commit(program, {}, frontier, [Outcome("a", exits=exits)])
    commit(program, {}, frontier, [Outcome(name, exits=exits) for name in ended])
    if defer:  # its join waits with it
        commit(program, {}, frontier, [Outcome("b", exits=exits)])
    assert names_of(program, frontier) == ["c"]
    commit(program, {}, frontier, [Outcome("b", exits=exits)])
    assert names_of(program, frontier) == []


def test_what_is_deferred_runs_when_nothing_else_is_left() -> None:
    program = program_of(spec("a"), spec("late", defer=True), spec("later", defer=True))
    frontier = Frontier()
    advance(program, frontier, Outcome("x", goto=["later", "a", "late"], sends=[Send("a", 1)]))
    assert names_of(program, frontier) == ["a", "a"]
    frontier.sends.append(Send("a", 2))
    assert names_of(program, frontier) == ["a"]
    assert names_of(program, frontier) == ["late", "later"]
    assert names_of(program, frontier) == []


def test_a_node_triggered_several_times_in_a_superstep_runs_once() -> None:
    program = program_of(spec("a"))
    frontier = Frontier()
    for _ in range(3):
        advance(program, frontier, Outcome("x", goto=["a", "a"]))
    assert names_of(program, frontier) == ["a"]

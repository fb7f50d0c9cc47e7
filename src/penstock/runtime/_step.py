"""Planning a superstep and committing its results: pure functions over plain data.

A superstep's tasks all see the state of its beginning.  `commit` applies what they wrote, in a fixed order whatever
the order in which they ended, and says what is due next; `plan` makes that into the next superstep's tasks.  Tasks
start in this order: sends in the order in which they were sent, then nodes by name; `in_reduce_order` has the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..channels import MISSING, LastValue, reduce_writes
from ..types import Send
from ._program import Exits, NodeSpec, Program


class Planned(NamedTuple):
    """A task of the next superstep.

    Attributes:
        spec: the node to run.
        send: the `Send` that asked for it, or None if an edge did.
        index: position among the sends of its superstep.
    """

    spec: NodeSpec
    send: Send | None = None
    # Not the method that a tuple has by this name.
    index: int = 0  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]


@dataclass
class Frontier:
    """What is due, and what is still waited for.

    Attributes:
        nodes: nodes to run in the next superstep.
        sends: sends to run in the next superstep.
        deferred: nodes to run when nothing else is left.
        arrived: for each join that has begun, the sources that have ended.
        complete: for each deferred node, the joins that have triggered it.
    """

    nodes: set[str] = field(default_factory=set)
    sends: list[Send] = field(default_factory=list)
    deferred: set[str] = field(default_factory=set)
    arrived: dict[str, set[str]] = field(default_factory=dict)
    complete: dict[str, set[str]] = field(default_factory=dict)


class Outcome(NamedTuple):
    """What a task that has ended leaves behind.

    Attributes:
        name: the node whose name the writes carry.
        writes: `(key, value)` in the order of writing.
        exits: what follows it.
        goto: further nodes to run, chosen by the node or its routers.
        sends: further tasks to run.
    """

    name: str
    writes: Sequence[tuple[str, Any]] = ()
    exits: Exits = Exits()
    goto: Sequence[str] = ()
    sends: Sequence[Send] = ()


def plan(program: Program, frontier: Frontier) -> list[Planned]:
    """The tasks of the next superstep, in task order; empties what it takes from the frontier."""
    nodes = frontier.nodes
    if len(nodes) == 1 and not frontier.sends:  # the common step
        return [Planned(program.nodes[nodes.pop()])]
    tasks = [Planned(program.nodes[s.node], s, i) for i, s in enumerate(frontier.sends)]
    if not nodes and not tasks:
        nodes, frontier.deferred = frontier.deferred, set()
        for name in nodes:
            for join in frontier.complete.pop(name, ()):
                del frontier.arrived[join]
    specs = program.nodes
    tasks += [Planned(specs[name]) for name in (sorted(nodes) if len(nodes) > 1 else nodes)]
    frontier.nodes = set()
    frontier.sends = []
    return tasks


def in_reduce_order(planned: Sequence[Planned], outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The results of a superstep in the order in which they are applied: nodes by name, then sends by index.

    Sends start first, but LangGraph reduces them last when both happen in one superstep (measured on 1.2.22), and
    a reducer such as `operator.add` shows it.
    """
    if len(planned) == 1:  # saves a twentieth of a superstep
        return outcomes
    sends = sum(p.send is not None for p in planned)
    return outcomes if sends in (0, len(planned)) else [*outcomes[sends:], *outcomes[:sends]]


def commit(
    program: Program, values: Mapping[str, Any], frontier: Frontier, outcomes: Iterable[Outcome]
) -> dict[str, Any]:
    """Apply a superstep's results: returns the changed keys, and adds what is due to the frontier.

    A changed key can be `MISSING`, which removes it.

    Raises:
        InvalidUpdateError: the writes do not fit together; nothing has been changed then.
    """
    outcomes = list(outcomes)
    changes = _changes(program, values, outcomes)
    for outcome in outcomes:
        advance(program, frontier, outcome)
    if frontier.arrived:
        _complete_joins(program, frontier, outcomes)
    return changes


def _changes(program: Program, values: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    channels = program.channels
    if len(outcomes) == 1 and len(writes := outcomes[0].writes) == 1:
        key, value = writes[0]
        channel = channels[key]
        if type(channel) is LastValue:  # the common step, without grouping
            changes = {key: channel.reduce(MISSING, (value,))}
            return _forget(program, values, changes) if program.forgetful else changes
    changes = reduce_writes(channels, values, ((o.name, k, v) for o in outcomes for k, v in o.writes))
    return _forget(program, values, changes) if program.forgetful else changes


def _forget(program: Program, values: Mapping[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, channel in program.forgetful:
        if key not in changes and key in values:
            kept = channel.carry(values[key])
            if kept is not values[key]:
                changes[key] = kept
    return changes


def advance(program: Program, frontier: Frontier, outcome: Outcome) -> None:
    """Add what follows one result to the frontier."""
    exits = outcome.exits
    for target in exits.targets:
        _trigger(program, frontier, target)
    for target in outcome.goto:
        _trigger(program, frontier, target)
    for join in exits.joins:
        frontier.arrived.setdefault(join.name, set()).add(outcome.name)
    if outcome.sends:
        frontier.sends.extend(outcome.sends)


def _complete_joins(program: Program, frontier: Frontier, outcomes: Iterable[Outcome]) -> None:
    """Trigger what the joins lead to that are complete now.

    Only once everything of the superstep has arrived: a source that comes a second time in the superstep that
    completes a join belongs to this round, whatever its place in the order.  While a deferred target waits, so does
    its join.
    """
    for join in dict.fromkeys(join for outcome in outcomes for join in outcome.exits.joins):
        if frontier.arrived[join.name] == join.sources:
            _trigger(program, frontier, join.target)
            if program.nodes[join.target].defer:
                frontier.complete.setdefault(join.target, set()).add(join.name)
            else:
                del frontier.arrived[join.name]


def _trigger(program: Program, frontier: Frontier, target: str) -> None:
    if program.nodes[target].defer:
        frontier.deferred.add(target)
    else:
        frontier.nodes.add(target)

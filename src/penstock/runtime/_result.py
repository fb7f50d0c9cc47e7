"""Reading what a node or a router returned: pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from ..constants import END, START
from ..errors import InvalidUpdateError, UnknownTargetError, nearest
from ..types import Command, Send
from ._program import Branch, Program


class NodeResult(NamedTuple):
    """A node's return value, taken apart.

    Attributes:
        writes: `(key, value)` in the order of writing, keys of the state only.
        goto: nodes to run next.
        sends: tasks to run next.
    """

    writes: list[tuple[str, Any]]
    goto: list[str]
    sends: list[Send]


class ParentCommand(Exception):
    """Carries a `Command(graph=Command.PARENT)` from a subgraph's node up to the node that runs the subgraph."""

    def __init__(self, node: str, command: Command[Any]) -> None:
        super().__init__(node, command)
        self.node = node
        self.command = command


def read_result(program: Program, node: str, value: Any) -> NodeResult:
    """Take a node's return value apart.

    Raises:
        InvalidUpdateError: it is not an update, a `Command`, None, or a list of these.
        UnknownTargetError: a `goto` names a node that does not exist.
        ParentCommand: it is meant for the graph around this one.
    """
    if type(value) is dict:  # the common case first
        keys = program.channels
        return NodeResult([(k, v) for k, v in value.items() if k in keys], [], [])
    result = NodeResult([], [], [])
    if value is None:
        return result
    parts = value if isinstance(value, (list, tuple)) and not hasattr(value, "_fields") else [value]
    for part in parts:
        if isinstance(part, Command):
            _read_command(program, node, part, result)
        elif isinstance(part, Send):
            raise _not_an_update(node, value, "a Send is returned by a router, or inside Command(goto=...)")
        else:
            result.writes.extend(_known(program, _pairs(node, part, value)))
    return result


def _read_command(program: Program, node: str, command: Command[Any], result: NodeResult) -> None:
    if command.graph == Command.PARENT:
        raise ParentCommand(node, command)
    if command.graph is not None:
        raise InvalidUpdateError(
            f"node {node!r} returned Command(graph={command.graph!r}); expected None for its own graph, or "
            "Command.PARENT"
        )
    if command.resume is not None:
        raise InvalidUpdateError(
            f"node {node!r} returned Command(resume={command.resume!r}); resume belongs to the input of a run"
        )
    if command.update is not None:
        update = command.update
        pairs = update if is_pairs(update) else _pairs(node, update, command)
        result.writes.extend(_known(program, pairs))
    goto = command.goto
    targets = goto if isinstance(goto, (list, tuple, set, frozenset)) else [goto]
    sort_targets(program, f"Command(goto=...) of node {node!r}", targets, result.goto, result.sends)


def is_pairs(update: Any) -> bool:
    """Whether an update is a list of `(key, value)` pairs."""
    return isinstance(update, (list, tuple)) and all(
        isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in update
    )


def _pairs(node: str, part: Any, whole: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(part, dict):
        return part.items()
    if part is None:
        return ()
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return [(f.name, getattr(part, f.name)) for f in dataclasses.fields(part) if hasattr(part, f.name)]
    if hasattr(type(part), "model_fields"):  # pydantic, without importing it
        return model_pairs(part)
    raise _not_an_update(node, whole, "return a dict of the keys to change")


def model_pairs(model: Any) -> list[tuple[str, Any]]:
    """What a pydantic model says: its fields, but for those that nobody gave and whose default is None."""
    fields = type(model).model_fields
    given = model.model_fields_set
    pairs = [(name, getattr(model, name)) for name in fields if hasattr(model, name)]
    return [(k, v) for k, v in pairs if v is not None or k in given or fields[k].default is not None]


def _not_an_update(node: str, value: Any, advice: str) -> InvalidUpdateError:
    return InvalidUpdateError(
        f"node {node!r} returned {value!r} ({type(value).__name__}); expected a dict, None, a Command, or a list of "
        f"these: {advice}"
    )


def _known(program: Program, pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    keys = program.channels
    return [(k, v) for k, v in pairs if k in keys]


def read_route(program: Program, branch: Branch, value: Any) -> tuple[list[str], list[Send]]:
    """Turn what a router returned into nodes and sends.

    Raises:
        UnknownTargetError: it names a node that does not exist, or a key its path map does not have.
    """
    several = isinstance(value, (list, tuple, set, frozenset)) and not (
        branch.targets is not None and _is_key(branch.targets, value)
    )
    chosen: list[Any] = list(value) if several else [value]
    where = f"router {branch.name!r}"
    if branch.targets is not None:
        chosen = [c if isinstance(c, Send) else _mapped(branch, c) for c in chosen]
    goto: list[str] = []
    sends: list[Send] = []
    sort_targets(program, where, chosen, goto, sends)
    return goto, sends


def _is_key(targets: Any, value: Any) -> bool:
    try:
        return value in targets
    except TypeError:  # unhashable: a list of targets
        return False


def _mapped(branch: Branch, choice: Any) -> Any:
    targets = branch.targets or {}
    if _is_key(targets, choice):
        return targets[choice]
    raise UnknownTargetError(
        f"router {branch.name!r} returned {choice!r}, which its path map does not have; {nearest(choice, targets)}"
    )


def sort_targets(
    program: Program, where: str, chosen: Sequence[Any] | Collection[Any], goto: list[str], sends: list[Send]
) -> None:
    """Sort what was chosen to run next into `goto` and `sends`.

    Raises:
        UnknownTargetError: a target is no node.
        InvalidUpdateError: a `Send` cannot be run as it asks.
    """
    for target in chosen:
        if isinstance(target, Send):
            _check_target(program, f"Send from {where}", target.node)
            if target.timeout is not None and program.nodes[target.node].kind.in_thread:
                raise InvalidUpdateError(
                    f"{target!r} from {where} has timeout={target.timeout!r}, but a timeout cannot end a sync "
                    "function, whose thread nobody can stop; make the node async"
                )
            sends.append(target)
        elif target == END and isinstance(target, str):
            continue
        else:
            _check_target(program, where, target)
            goto.append(target)


def _check_target(program: Program, where: str, target: Any) -> None:
    if isinstance(target, str) and target in program.nodes:
        return
    if target is None:
        problem = "chose None; return END to end this path"
    elif target == START:
        problem = f"chose {START!r}; the start of a graph cannot be a target"
    else:
        problem = f"chose {target!r}, which is no node of this graph; {nearest(target, [*program.nodes, END])}"
    raise UnknownTargetError(f"{where} {problem}")

"""Checking what tools return, and putting the answers of several calls together into one update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from ..errors import ToolCallError
from ..messages import REMOVE_ALL_MESSAGES, ToolCall, coerce_messages
from ..tools._output import is_tool_message
from ..types import Command, Send

InputKind = Literal["list", "dict", "calls"]
"""What a `ToolNode` was called with: messages, a state, or single calls."""


def check_answer(answer: Any, call: ToolCall, kind: InputKind, messages_key: str) -> list[Any]:
    """What one call of a tool gives, as a list of messages and `Command`s.

    Raises:
        ToolCallError: a `Command` does not fit, or the model's call is not answered exactly once.
    """
    if isinstance(answer, Command):
        named, found = _named(answer, call, kind, messages_key)
        if answer.graph is None and found == 0:
            raise _unanswered(call, messages_key, answer)
        return [named]
    if not isinstance(answer, list):
        return [answer]
    checked: list[Any] = []
    total = 0
    for item in answer:
        if isinstance(item, Command):
            command, answers = _named(item, call, kind, messages_key)
            checked.append(command)
            total += answers
        else:
            checked.append(item)
            total += item.tool_call_id == call["id"]
    if total != 1:
        raise ToolCallError(
            f"tool {call['name']!r} returned a list with {total} tool messages for its call {call['id']!r}; expected "
            "exactly one"
        )
    return checked


def _named(command: Command[Any], call: ToolCall, kind: InputKind, messages_key: str) -> tuple[Command[Any], int]:
    """The command, with the tool's name in the message that answers the call; how many such messages there are."""
    update = command.update
    if not isinstance(update, (dict, list)):
        return command, 0 if update is None else 1
    if isinstance(update, list) != (kind == "list"):
        expected = "a list of messages" if kind == "list" else f"a dict with the key {messages_key!r}"
        raise ToolCallError(
            f"tool {call['name']!r} returned a Command with update={update!r}; expected {expected}, like the input of "
            "this ToolNode"
        )
    messages = coerce_messages(update if isinstance(update, list) else update.get(messages_key, []))
    mine = [is_tool_message(m) and getattr(m, "tool_call_id", None) == call["id"] for m in messages]
    # Whoever empties the conversation leaves no call to be answered.
    cleared = any(m.type == "remove" and m.id == REMOVE_ALL_MESSAGES for m in messages)
    if not any(mine):
        return command, 1 if cleared else 0
    pairs = zip(messages, mine, strict=True)
    named: list[Any] = [m.model_copy(update={"name": call["name"]}) if own else m for m, own in pairs]
    return replace(command, update=named if isinstance(update, list) else {**update, messages_key: named}), sum(mine)


def _unanswered(call: ToolCall, messages_key: str, command: Command[Any]) -> ToolCallError:
    return ToolCallError(
        f"tool {call['name']!r} returned {command!r} without an answer to its call; models refuse a conversation with "
        f"an unanswered call. Add ToolMessage('...', tool_call_id={call['id']!r}) to update[{messages_key!r}]; a "
        "parameter Annotated[str, InjectedToolCallId] gets the id"
    )


def combine(answers: Sequence[Any], kind: InputKind, messages_key: str) -> Any:
    """One update of the state: messages alone, or a list of `Command`s and updates."""
    if not any(isinstance(answer, Command) for answer in answers):
        return list(answers) if kind == "list" else {messages_key: list(answers)}
    combined: list[Any] = []
    handovers: list[Command[Any]] = []
    for answer in answers:
        if not isinstance(answer, Command):
            combined.append([answer] if kind == "list" else {messages_key: [answer]})
        elif _only_sends(answer):
            handovers.append(answer)
        else:
            combined.append(answer)
    return [*combined, *_one_handover(handovers)]


def _only_sends(command: Command[Any]) -> bool:
    goto = command.goto
    return (
        command.graph == Command.PARENT and isinstance(goto, (list, tuple)) and all(isinstance(s, Send) for s in goto)
    )


def _one_handover(commands: Sequence[Command[Any]]) -> Sequence[Command[Any]]:
    """Several commands that start nodes of the graph around this one, as one: only the first would get there."""
    if len(commands) < 2:
        return commands
    sends: list[Any] = []
    for command in commands:
        goto: Any = command.goto
        sends += goto
    updates = [command.update for command in commands if command.update]
    pairs = [pair for update in updates for pair in (update.items() if isinstance(update, dict) else update)]
    return [Command(graph=Command.PARENT, update=pairs or None, goto=sends)]

"""Parameters of a tool that the run fills in."""

from __future__ import annotations

import inspect
import types
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union, cast, get_args, get_origin

from .._shapes import take_apart
from ..config import RunnableConfig, TaskScope, maybe_scope, parse_config
from ..errors import OutsideRunError, ToolCallError, nearest
from ..runtime._spans import NOWHERE, Around, callbacks_by_hand, inherited_config
from ..types import StreamWriter
from ._events import ToolEvents
from ._runtime import ToolRuntime, find_state


@dataclass(frozen=True)
class Injection:
    """One parameter that the model does not see.

    Attributes:
        name: of the parameter.
        kind: what it gets.
        field: the key of the state it gets, or None for all of it.
        optional: whether it has a default, which is used when there is nothing to fill in.
    """

    name: str
    kind: str
    field: str | None
    optional: bool


@dataclass(frozen=True)
class CallInfo:
    """What is known of one call of a tool.

    Attributes:
        tool: name of the tool.
        call_id: the id the model gave it, or None.
        config: what the caller passed.
        given: values of injected parameters that the caller passed.
        events: where its events go, or None.
        around: what it is inside of, and who observes it.
    """

    tool: str
    call_id: str | None
    config: Mapping[str, Any] | None
    given: Mapping[str, Any]
    events: ToolEvents | None
    around: Around = NOWHERE


_MARKS = {
    "InjectedState": "state",
    "InjectedStore": "store",
    "InjectedToolCallId": "call id",
    "InjectedToolArg": "argument",
}
# By the name of the class: LangGraph's and LangChain's mean the same.
_TYPES = {"ToolRuntime": "runtime", "Runtime": "node runtime", "RunnableConfig": "config", "StreamWriter": "writer"}
_NAMES = ("config", "runtime", "writer")


def find_injection(parameter: inspect.Parameter, hint: Any) -> Injection | None:
    """How a parameter is filled in; None if the model writes it.

    Args:
        parameter: the parameter.
        hint: its annotation, resolved.
    """
    plain, metadata = take_apart(hint)
    optional = parameter.default is not parameter.empty
    for extra in metadata:
        names = [c.__name__ for c in (extra if isinstance(extra, type) else type(extra)).__mro__]
        for name, kind in _MARKS.items():
            if name in names:
                field = None if isinstance(extra, type) else getattr(extra, "field", None)
                return Injection(parameter.name, kind, field, optional)
    kind_of_type = _kind_of_type(plain)
    if kind_of_type is None and parameter.name in _NAMES:
        untyped = plain is parameter.empty or plain is Any
        if untyped or (parameter.name == "writer" and get_origin(plain) is abc.Callable):
            kind_of_type = parameter.name
    return None if kind_of_type is None else Injection(parameter.name, kind_of_type, None, optional)


def _kind_of_type(hint: Any) -> str | None:
    if get_origin(hint) in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        return _kind_of_type(take_apart(inner[0])[0]) if len(inner) == 1 else None
    typ = get_origin(hint) or hint
    return _TYPES.get(typ.__name__) if isinstance(typ, type) else None


_NOTHING: Any = object()


def fill_in(injections: tuple[Injection, ...], call: CallInfo) -> dict[str, Any]:
    """The values of a tool's injected parameters.

    Raises:
        OutsideRunError: a parameter needs a run, and there is none.
        ToolCallError: the run does not have what it needs.
    """
    unknown = [name for name in call.given if name not in {i.name for i in injections}]
    if unknown:
        raise ToolCallError(
            f"tool {call.tool!r} has no injected parameter {unknown[0]!r}; "
            f"{nearest(unknown[0], (i.name for i in injections))}"
        )
    scope = maybe_scope()
    values: dict[str, Any] = {}
    for injection in injections:
        if injection.name in call.given:
            values[injection.name] = call.given[injection.name]
            continue
        value = _PROVIDERS[injection.kind](injection, call, scope)
        if value is not _NOTHING:
            values[injection.name] = value
    return values


def _missing(injection: Injection, call: CallInfo, scope: TaskScope | None, what: str, advice: str) -> Any:
    if injection.optional:
        return _NOTHING
    text = f"tool {call.tool!r} needs {what} for its parameter {injection.name!r}, "
    if scope is None:
        raise OutsideRunError(
            f"{text}but was called outside of a running node. Call it in a node, or pass "
            f"injected={{{injection.name!r}: ...}}"
        )
    raise ToolCallError(f"{text}{advice}")


def _config(injection: Injection, call: CallInfo, scope: Any) -> Any:
    if scope is None:
        config: dict[str, Any] = {**parse_config(call.config, inherited_config(None, call.around)).as_dict()}
    else:
        config = scope.config()
        inherited = inherited_config(scope.run_config, call.around)
        if call.config or inherited is not scope.run_config:
            merged = parse_config(call.config, inherited).as_dict()
            config = {**merged, "metadata": {**merged.get("metadata", {}), **config.get("metadata", {})}}
    # That of the caller, in LangChain, too: what is called with it stands beside the tool. (What is called without is
    # inside of it.)
    callbacks = callbacks_by_hand(call.around)
    if callbacks is not None:
        config["callbacks"] = callbacks
        config.pop("run_name", None)
        config.pop("run_id", None)
    return config


def _writer(injection: Injection, call: CallInfo, scope: Any) -> Any:
    return _missing(injection, call, scope, "the stream writer of a run", "") if scope is None else scope.writer


def _node_runtime(injection: Injection, call: CallInfo, scope: Any) -> Any:
    return _missing(injection, call, scope, "the runtime of a run", "") if scope is None else scope.runtime


def _tool_runtime(injection: Injection, call: CallInfo, scope: Any) -> Any:
    if scope is None:
        return _missing(injection, call, scope, "the runtime of a run", "")
    return make_runtime(call, scope)


def make_runtime(call: CallInfo, scope: Any) -> ToolRuntime[Any, Any]:
    """A tool's view of the run around it."""
    runtime = scope.runtime
    return ToolRuntime(
        state=find_state(scope)[1],
        context=runtime.context,
        config=cast("RunnableConfig", _config(_ANY_CONFIG, call, scope)),
        stream_writer=cast("StreamWriter", runtime.stream_writer),
        tool_call_id=call.call_id,
        store=runtime.store,
        events=call.events,
    )


def _state(injection: Injection, call: CallInfo, scope: Any) -> Any:
    found, state = find_state(scope)
    if not found:
        return _missing(injection, call, scope, "the state of a graph", "but this node has none")
    key = injection.field
    if key is None:
        return state
    if isinstance(state, Mapping):
        if key in state:
            return state[key]
        known: Any = state
    else:
        if hasattr(state, key):
            return getattr(state, key)
        known = getattr(state, "__dict__", ())
    advice = f"which the state does not have; {nearest(key, known)}"
    return _missing(injection, call, scope, f"the key {key!r} of the state", advice)


def _store(injection: Injection, call: CallInfo, scope: Any) -> Any:
    store = None if scope is None else scope.runtime.store
    return _missing(injection, call, scope, "a store", "but the graph has none") if store is None else store


def _call_id(injection: Injection, call: CallInfo, scope: Any) -> Any:
    if call.call_id is not None:
        return call.call_id
    if injection.optional:
        return _NOTHING
    raise ToolCallError(
        f"tool {call.tool!r} needs the id of the call for its parameter {injection.name!r}; invoke it with the tool "
        "call, {'type': 'tool_call', 'name': ..., 'args': {...}, 'id': ...}, not with its arguments alone"
    )


def _argument(injection: Injection, call: CallInfo, scope: Any) -> Any:
    if injection.optional:
        return _NOTHING
    raise ToolCallError(
        f"tool {call.tool!r} needs a value for its parameter {injection.name!r}, which the model does not give; pass "
        f"injected={{{injection.name!r}: ...}}"
    )


_ANY_CONFIG = Injection("config", "config", None, True)
_PROVIDERS: dict[str, Callable[[Injection, CallInfo, Any], Any]] = {
    "config": _config,
    "writer": _writer,
    "runtime": _tool_runtime,
    "node runtime": _node_runtime,
    "state": _state,
    "store": _store,
    "call id": _call_id,
    "argument": _argument,
}

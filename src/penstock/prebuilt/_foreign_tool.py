"""Calling tools of other libraries, such as LangChain's, without importing these."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any

from .._shapes import function_hints
from ..config import maybe_scope
from ..errors import ToolArgumentsError, ToolCallError
from ..messages import ToolCall, ToolMessage
from ..runtime._thread import call_in_thread
from ..streams._backend import on_trio
from ..tools import ForeignTool
from ..tools._events import open_events
from ..tools._injection import CallInfo, Injection, fill_in, find_injection
from ..tools._output import as_answer
from ..types import Command

# What such a library fills in itself.
_THEIR_OWN = ("config", "writer", "call id", "argument")


def find_injections(tool: ForeignTool) -> tuple[Injection, ...]:
    """The parameters of a foreign tool's function that are to get the state, the store or the runtime."""
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    if function is None:
        return ()
    try:
        hints = function_hints(function)
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # it will be called with what the model writes
        return ()
    found = (find_injection(p, hints.get(p.name, p.empty)) for p in parameters)
    return tuple(i for i in found if i is not None and i.kind not in _THEIR_OWN)


async def call_foreign(tool: ForeignTool, call: ToolCall, injections: tuple[Injection, ...], tags: list[str]) -> Any:
    """Call a foreign tool; on trio, where its async API cannot run, by its sync API in a worker thread.

    Raises:
        ToolArgumentsError: the tool's own validation refused the arguments.
        ToolCallError: the tool is async only, on trio.
    """
    events = open_events(call["id"], [*tags, *(getattr(tool, "tags", None) or ())])
    scope = maybe_scope()
    config: Any = None if scope is None else scope.config()
    if config is not None and tags:
        config["tags"] = [*config.get("tags", ()), *tags]
    if events is not None:
        await events.started(tool.name, call["args"])
    try:
        args = {**call["args"], **fill_in(injections, CallInfo(tool.name, call["id"], None, {}, events))}
        whole = {**call, "args": args, "type": "tool_call"}
        kept: list[Any] = []
        watched = _keeping_commands(tool, kept)
        if on_trio():
            _check_sync(tool)
            response = await call_in_thread(functools.partial(watched.invoke, whole, config), "a tool")
        else:
            response = await watched.ainvoke(whole, config)
        response = kept[-1] if kept else response
    except Exception as error:
        if events is not None:
            await events.failed(error)  # noqa: ASYNC120 - who cancels the call does not want its error
        problems = _problems(error, {i.name for i in injections})
        if problems is not None:
            raise ToolArgumentsError(tool.name, problems) from error
        raise
    answer = as_answer(tool.name, str(call["id"]), response, None)
    if events is not None:
        await events.finished(answer)
    return answer


def _check_sync(tool: Any) -> None:
    if getattr(tool, "func", _NOT_THERE) is None and getattr(tool, "coroutine", None) is not None:
        raise ToolCallError(
            f"tool {tool.name!r} of {type(tool).__module__.partition('.')[0]} has only an async function, which cannot "
            "run on trio; give it a sync function as well, or make it a tool with penstock.tools.tool"
        )


_NOT_THERE: Any = object()


def _keeping_commands(tool: Any, kept: list[Any]) -> Any:
    """The tool, or a copy that puts what its function returns into `kept` if that has a `Command` of ours.

    Other libraries know only their own commands, and would make text of it.
    """
    copy = getattr(tool, "model_copy", None)
    functions = {name: f for name in ("func", "coroutine") if callable(f := getattr(tool, name, None))}
    if copy is None or not functions:
        return tool
    return copy(update={name: _keeping(function, kept) for name, function in functions.items()})


def _keeping(function: Any, kept: list[Any]) -> Any:
    def keep(result: Any) -> Any:
        items = result if isinstance(result, list) else [result]
        if any(isinstance(item, Command) for item in items):
            kept.append(result)
        return result

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return keep(await function(*args, **kwargs))

        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return keep(function(*args, **kwargs))

    return call


def _problems(error: Exception, hidden: set[str]) -> list[str] | None:
    """What pydantic has against the arguments; None for any other error."""
    pydantic: Any = sys.modules.get("pydantic_core")
    if pydantic is None or not isinstance(error, pydantic.ValidationError):
        return None
    refused: Any = error
    found = [e for e in refused.errors() if not e["loc"] or e["loc"][0] not in hidden]
    return [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" if e["loc"] else str(e["msg"]) for e in found]


def of_the_family(answer: ToolMessage, asked: Any) -> Any:
    """A tool message of the library that the model's message comes from, so that its models can read it.

    Args:
        answer: a message of ours.
        asked: the message that has the call.
    """
    for cls in type(asked).__mro__:
        package = sys.modules.get(cls.__module__.rpartition(".")[0])
        foreign: Any = getattr(package, "ToolMessage", None)
        if foreign is not None and isinstance(foreign, type) and hasattr(foreign, "model_fields"):
            return foreign(
                content=answer.content,
                tool_call_id=answer.tool_call_id,
                name=answer.name,
                status=answer.status,
                artifact=answer.artifact,
                id=answer.id,
            )
    return answer

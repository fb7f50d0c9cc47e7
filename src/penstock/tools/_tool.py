"""A function that a model can call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal, cast

from typing_extensions import Unpack

from .._shapes import Schema
from ..config import RunnableConfig
from ..errors import ToolCallError, ToolDefinitionError
from ..messages import ToolCall
from ..runnables import Composable
from ..runtime import RunStream, Span
from ..runtime._blocking import run_blocking
from ..runtime._events import EventOptions
from ..runtime._spans import failing, inside, look_around, open_span, room
from ..runtime._thread import call_in_thread
from ..runtime._work import stream_events
from ..types import StreamEvent
from ._docstring import read_docstring
from ._events import open_events, shown
from ._injection import CallInfo, fill_in
from ._output import ResponseFormat, as_answer, split_result
from ._signature import check_arguments, innermost, read_function


class Tool(Composable[Any, Any]):
    """A function that a model can call: what the model is told about it, and how its arguments are checked.

    Usually made with the decorator :func:`tool`.

    Args:
        func: a function, plain or async, a bound method, a partial, or a callable object.
        name: what the model calls it; by default the name of the function.
        description: what the model is told; by default the docstring without its `Args:` section, whose entries
            describe the parameters.
        args_schema: what the model is to write, where the signature does not say it: a TypedDict, a dataclass, a
            pydantic model, or a JSON schema (whose values then reach the function unchecked).
        return_direct: whether an agent ends with this tool's answer instead of showing it to the model.
        response_format: `"content"`, or `"content_and_artifact"` for a function that returns a tuple of what the
            model is to see and what only the program is to see.
        tags: labels, which `only=` can select.
        metadata: free values.
        parse_docstring: False to tell the model the whole docstring as it is.

    Attributes:
        func: the function.
        name: what the model calls it.
        description: what the model is told.
        args_schema: the JSON schema of the arguments that the model writes.
        return_direct: whether an agent ends with this tool's answer.
        response_format: what the function returns.
        tags: labels.
        metadata: free values.

    Raises:
        ToolDefinitionError: a model could not call the function, or there is no description.

    Example:
        ```python
        from penstock.tools import Tool

        def add(a: int, b: int = 1) -> int:
            \"\"\"Add two numbers.

            Args:
                a: the first.
                b: the second.
            \"\"\"
            return a + b

        adder = Tool(add)
        assert adder.description == "Add two numbers."
        assert adder.args["b"] == {"type": "integer", "description": "the second.", "default": 1}
        assert adder.invoke({"a": 1, "b": 2}) == 3
        answer = adder.invoke({"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "c1"})
        assert (answer.content, answer.tool_call_id) == ("3", "c1")
        ```
    """

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        args_schema: Any = None,
        return_direct: bool = False,
        response_format: ResponseFormat = "content",
        tags: Collection[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        parse_docstring: bool = True,
    ) -> None:
        _check_function(func)
        inner = innermost(func)
        self.func = func
        self.name: str = name or _name_of(func)
        if response_format not in ("content", "content_and_artifact"):
            raise ToolDefinitionError(
                f"tool {self.name!r}: response_format must be 'content' or 'content_and_artifact', "
                f"got {response_format!r}"
            )
        documented = _documentation(func, inner)
        text, docs = read_docstring(documented) if parse_docstring else ((documented or "").strip(), {})
        self.description: str = inspect.cleandoc(description) if description is not None else text
        if not self.description:
            raise ToolDefinitionError(
                f"tool {self.name!r} has no description, so a model would not know what it is for; give the function "
                "a docstring, or pass description="
            )
        self.return_direct: bool = return_direct
        self.response_format: ResponseFormat = response_format
        self.tags: list[str] = list(tags or ())
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._signature = read_function(func, self.name, docs, args_schema)
        self.args_schema: Schema = self._signature.schema
        self._is_async = inspect.iscoroutinefunction(inner)

    @property
    def args(self) -> dict[str, Any]:
        """The JSON schema of each argument that the model writes."""
        properties: dict[str, Any] = self.args_schema["properties"]
        return properties

    @property
    def tool_call_schema(self) -> Schema:
        """`args_schema` with the tool's name as `title`, and its `description`."""
        return {"title": self.name, "description": self.description, **self.args_schema}

    def invoke(
        self,
        input: ToolCall | Mapping[str, Any] | str,
        config: RunnableConfig | None = None,
        *,
        injected: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the tool from plain code.

        An async function runs on an event loop in another thread (in a worker thread of a node: on the node's own).

        Args:
            input: the arguments by name; or a tool call, as models make it. A string is the argument of a tool that
                has only one.
            config: settings of the call, for its parameter of type `RunnableConfig`.
            injected: values for parameters that the model does not write.

        Returns:
            What the function returned; for a tool call the `ToolMessage` that answers it, unless the function
            returned a `Command`, a `ToolMessage`, or a list of these.

        Raises:
            ToolArgumentsError: the arguments do not fit; the text tells a model how to do better.
            ToolCallError: the call does not fit the tool.
            OutsideRunError: the tool needs something that exists only in a run.
        """
        if self._is_async:
            return run_blocking(lambda: self.ainvoke(input, config, injected=injected))
        args, call = self._open(input, config, injected)
        span = self._open_span(args, call)
        if call.events is not None:
            _ = call.events.started(self.name, args)
        try:
            with failing(span):
                bound = self._bind(args, call)
                with inside(span):
                    result = bound()
                    if inspect.isawaitable(result):
                        awaitable = result
                        result = run_blocking(lambda: _wait_for(awaitable))
                output = self._output(result, call)
        except Exception as error:
            if call.events is not None:
                _ = call.events.failed(error)
            raise
        if call.events is not None:
            _ = call.events.finished(output)
        if span is not None:
            _ = span.end(shown(output))
        return output

    async def ainvoke(
        self,
        input: ToolCall | Mapping[str, Any] | str,
        config: RunnableConfig | None = None,
        *,
        injected: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the tool; a function that is not async runs in a worker thread.

        A thread is waited for even when the call is cancelled.

        Args:
            input: the arguments by name; or a tool call, as models make it. A string is the argument of a tool that
                has only one.
            config: settings of the call, for its parameter of type `RunnableConfig`.
            injected: values for parameters that the model does not write.

        Returns:
            What the function returned; for a tool call the `ToolMessage` that answers it, unless the function
            returned a `Command`, a `ToolMessage`, or a list of these.

        Raises:
            ToolArgumentsError: the arguments do not fit; the text tells a model how to do better.
            ToolCallError: the call does not fit the tool.
            OutsideRunError: the tool needs something that exists only in a run.

        Example:
            ```python
            from penstock.tools import tool

            @tool
            async def shout(text: str) -> str:
                \"\"\"Say it louder.\"\"\"
                return text.upper()

            assert await shout.ainvoke({"text": "hey"}) == "HEY"
            ```
        """
        args, call = self._open(input, config, injected)
        if call.around.observers:
            await room(call.around)
        span = self._open_span(args, call)
        with failing(span):
            if span is not None:
                await span.receipt
            output = await self._run(args, call, span)
        if span is not None:
            await span.end(shown(output))
        return output

    async def _run(self, args: Mapping[str, Any], call: CallInfo, span: Span | None) -> Any:
        if call.events is not None:
            await call.events.started(self.name, args)
        try:
            bound = self._bind(args, call)
            with inside(span):
                result = await bound() if self._is_async else await call_in_thread(bound, "a tool")
                if inspect.isawaitable(result):  # a plain function around an async one
                    result = await result
            output = self._output(result, call)
        except Exception as error:
            if call.events is not None:
                await call.events.failed(error)  # noqa: ASYNC120 - who cancels the call does not want its error
            raise
        if call.events is not None:
            await call.events.finished(output)
        return output

    def astream_events(
        self,
        input: ToolCall | Mapping[str, Any] | str,
        config: RunnableConfig | None = None,
        *,
        version: Literal["v2"] = "v2",
        injected: Mapping[str, Any] | None = None,
        **options: Unpack[EventOptions],
    ) -> RunStream[StreamEvent]:
        """Call the tool, and stream what goes on inside of it: in the models, chains, graphs and tools it calls.

        Args:
            input: as for :meth:`ainvoke`.
            config: as for :meth:`ainvoke`.
            version: there is only "v2".
            injected: as for :meth:`ainvoke`.
            options: which events are wanted (`include_names`, `include_types`, `include_tags`, `exclude_names`,
                `exclude_types`, `exclude_tags`), and how many may be unread (`high_water_mark`): see
                :class:`penstock.runtime.EventOptions`.

        Returns:
            A stream of events: iterate it, or enter it with `async with` first. Leaving it ends the call.

        Raises:
            ValueError: there is no such version or type.

        Example:
            ```python
            from penstock.runnables import ChatPromptTemplate, StrOutputParser
            from penstock.testing import ScriptedChatModel
            from penstock.tools import tool

            model = ScriptedChatModel(["Bees fly anyway"], cycle=True)

            @tool
            async def summarize(text: str) -> str:
                \"\"\"Summarize a text.\"\"\"
                chain = ChatPromptTemplate.from_template("Summarize: {text}") | model | StrOutputParser()
                return await chain.ainvoke({"text": text})

            events = summarize.astream_events({"text": "..."}, version="v2")
            answers = [e["data"]["output"].text async for e in events if e["event"] == "on_chat_model_end"]
            assert answers == ["Bees fly anyway"]
            ```
        """
        return stream_events(
            self.name,
            lambda given: self.ainvoke(input, cast("RunnableConfig", given), injected=injected),
            input,
            config,
            version=version,
            options=options,
        )

    def _open(self, input_: Any, config: Any, injected: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], CallInfo]:
        """The arguments, and whose they are."""
        call_id: str | None = None
        args = input_
        if self._is_tool_call(input_):
            args, call_id = input_["args"], input_.get("id")
            if call_id is None:
                raise ToolCallError(
                    f"the call {dict(input_)!r} has no id, so no message can answer it; give it one, or invoke the "
                    "tool with its arguments alone"
                )
            call_id = str(call_id)
        elif isinstance(input_, str) and len(self._signature.names) == 1:
            args = {self._signature.names[0]: input_}
        args = check_arguments(self.name, args)
        events = open_events(call_id, [*self.tags, *((config or {}).get("tags") or ())])
        around = look_around(config.get("callbacks") if config else None)
        return args, CallInfo(self.name, call_id, config, injected or {}, events, around)

    def _open_span(self, args: Mapping[str, Any], call: CallInfo) -> Span | None:
        if not call.around.observers and not call.config:
            return None
        return open_span(
            "tool",
            self.name,
            call.config,
            input=args,
            tags=self.tags,
            metadata=self.metadata,
            details={"tool_call_id": call.call_id, "description": self.description},
            around=call.around,
        )

    def _is_tool_call(self, value: Any) -> bool:
        if not isinstance(value, Mapping) or "args" not in value:
            return False
        return value.get("type") == "tool_call" or (
            value.keys() == {"name", "args", "id"} and "args" not in self._signature.names
        )

    def _bind(self, args: Mapping[str, Any], call: CallInfo) -> Callable[[], Any]:
        values = self._signature.read(args)
        values.update(fill_in(self._signature.injections, call))
        return functools.partial(self.func, **values)

    def _output(self, result: Any, call: CallInfo) -> Any:
        content, artifact = split_result(self.name, result, self.response_format)
        return content if call.call_id is None else as_answer(self.name, call.call_id, content, artifact)

    def __repr__(self) -> str:
        return f"Tool(name={self.name!r}, args=[{', '.join(self.args)}])"


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _check_function(func: Any) -> None:
    if inspect.isclass(func) or not callable(func):
        raise ToolDefinitionError(f"a tool is made of a function, got {func!r}")
    inner = innermost(func)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise ToolDefinitionError(
            f"{getattr(inner, '__qualname__', func)!r} is a generator, and a tool returns one result; show parts of it "
            "with runtime.emit_output_delta(...), where runtime: ToolRuntime is a parameter"
        )


def _documentation(func: Any, inner: Any) -> str | None:
    """The docstring of a function; of a callable object that of its `__call__`, or of its class."""
    if inspect.isroutine(func) or isinstance(func, functools.partial):
        return inspect.getdoc(inner)
    text: str | None = inner.__doc__ or type(func).__doc__
    return None if text is None else inspect.cleandoc(text)


def _name_of(func: Any) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    name = getattr(func, "__name__", None) or type(func).__name__
    if name == "<lambda>":
        raise ToolDefinitionError("a lambda has no name for the model to call it by; pass name=")
    return str(name)

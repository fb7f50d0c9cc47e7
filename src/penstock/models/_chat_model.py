"""The model: one method to write, all ways to call it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar
from uuid import uuid4

import anyio
from typing_extensions import Self, Unpack

from penstock.errors import ModelOutputError
from penstock.messages import AIMessage, AIMessageChunk, BaseMessage, MessagesLike, coerce_messages, sum_chunks
from penstock.runnables import Composable
from penstock.runtime import ModelCall, RunStream
from penstock.runtime._blocking import BlockingIterator, run_blocking
from penstock.runtime._events import EventOptions
from penstock.runtime._spans import StepsInside, failing, inside, look_around, room
from penstock.runtime._work import stream_events
from penstock.types import StreamEvent

from ._settings import NO_SETTINGS, CallSettings, read_settings, read_tags
from ._tools import describe_tools, tool_names

if TYPE_CHECKING:
    from ._structured import StructuredModel

ModelT = TypeVar("ModelT", bound="ChatModel")
T = TypeVar("T")

AnswerPiece: TypeAlias = AIMessageChunk | AIMessage | str
"""What a model may yield as part of its answer; an `AIMessage` is a whole answer."""

# Seconds that a provider's stream gets to close when nobody wants the rest of it.
CLOSE_TIMEOUT = 5.0


class ChatModel(Composable[MessagesLike, AIMessage], ABC):
    """A chat model. To make one, write :meth:`answer`; everything else is built on it.

    Called in a node, a tool or a router, by whichever method, its tokens appear in `stream_mode="messages"`, and a
    slow reader slows it down. All chunks of one answer have one id: the first chunk's, or a new one.

    Methods whose names begin with `with_` or `bind` return another model and leave this one as it is.

    Attributes:
        provider: who runs the model; becomes `ls_provider` in the metadata of its tokens.
        model_name: which model; becomes `ls_model_name`.
        temperature: becomes `ls_temperature` if it is set.

    Example:
        ```python
        from penstock.messages import AIMessageChunk
        from penstock.models import ChatModel

        class Shouter(ChatModel):
            async def answer(self, messages, **options):
                for word in messages[-1].text.split():
                    yield AIMessageChunk(word.upper() + " ")

        assert Shouter().invoke("so it begins").text == "SO IT BEGINS "
        assert [chunk.text for chunk in Shouter().stream("a b")] == ["A ", "B ", ""]
        ```
    """

    provider: str | None = None
    model_name: str | None = None
    temperature: float | None = None

    structured_output_method: ClassVar[Literal["function_calling", "json_schema"]] = "function_calling"
    """How :meth:`with_structured_output` asks, unless it is told."""

    _bound: CallSettings = NO_SETTINGS

    @abstractmethod
    def answer(self, messages: list[BaseMessage], **options: Any) -> AsyncIterator[AnswerPiece]:
        """Answer a conversation, piece by piece: the one method a model has to have, an async generator.

        It is called once per attempt, and closed as soon as nobody wants the rest. Pieces are handed over: their
        `id` is filled in.

        Args:
            messages: the conversation.
            options: what the call, `bind` and `bind_tools` say, and only that. The ones with a common meaning:

                * `tools`: a list of `{"type": "function", "function": {"name", "description", "parameters"}}`;
                * `tool_choice`: `"auto"`, `"none"`, `"required"` or the name of a tool;
                * `response_format`: `{"type": "json_schema", "json_schema": {"name", "schema", ...}}`;
                * `stop`: a list of texts that end the answer.

        Returns:
            An iterator of `AIMessageChunk` or text; or of one `AIMessage`, if the model cannot stream.
        """

    async def answer_whole(self, messages: list[BaseMessage], **options: Any) -> AIMessage | None:
        """Answer a conversation at once, for a call whose tokens nobody wants to see.

        For models whose providers have a cheaper way than to stream; the others need not have this method.

        Args:
            messages: as for :meth:`answer`.
            options: as for :meth:`answer`.

        Returns:
            The answer, or None, as here, to have the tokens of :meth:`answer` all the same.
        """
        return None

    # ---------------------------------------------------------------- calling

    async def ainvoke(
        self,
        input: MessagesLike,
        config: Mapping[str, Any] | None = None,
        *,
        stop: Sequence[str] | None = None,
        **options: Any,
    ) -> AIMessage:
        """The whole answer.

        Args:
            input: the conversation, in any form that `penstock.messages.coerce_messages` reads.
            config: `tags`, `metadata` and `run_name` of this call; a node may pass its own config on.
            stop: texts that end the answer.
            options: passed to :meth:`answer`.

        Returns:
            The answer, with the id that its tokens had.

        Raises:
            ModelError: the provider failed; the class says how.
            MessageError: the input cannot be read as messages.
        """
        settings = self._bound.under(read_settings(config, {"stop": stop, **options}))
        return await self._invoke_once(read_input(input), settings)

    def astream(
        self,
        input: MessagesLike,
        config: Mapping[str, Any] | None = None,
        *,
        stop: Sequence[str] | None = None,
        **options: Any,
    ) -> ChatStream:
        """The answer's chunks, as they arrive.

        Args:
            input: as for :meth:`ainvoke`.
            config: as for :meth:`ainvoke`.
            stop: texts that end the answer.
            options: passed to :meth:`answer`.

        Returns:
            An async iterator of chunks, the last of them marked with `chunk_position="last"`. Leave it early inside
            `async with`, so that the provider's stream is closed at once.

        Raises:
            ModelError: the provider failed; the class says how.
            MessageError: the input cannot be read as messages.
        """
        settings = self._bound.under(read_settings(config, {"stop": stop, **options}))
        return ChatStream(self._stream_once(read_input(input), settings))

    def invoke(
        self,
        input: MessagesLike,
        config: Mapping[str, Any] | None = None,
        *,
        stop: Sequence[str] | None = None,
        **options: Any,
    ) -> AIMessage:
        """The whole answer, for code that does not await. See :meth:`ainvoke`."""
        return run_blocking(lambda: self.ainvoke(input, config, stop=stop, **options))

    def stream(
        self,
        input: MessagesLike,
        config: Mapping[str, Any] | None = None,
        *,
        stop: Sequence[str] | None = None,
        **options: Any,
    ) -> BlockingIterator[AIMessageChunk]:
        """The answer's chunks, for code that does not await. See :meth:`astream`."""
        settings = self._bound.under(read_settings(config, {"stop": stop, **options}))
        messages = read_input(input)
        return BlockingIterator(lambda: self._stream_once(messages, settings))

    async def abatch(
        self,
        inputs: Iterable[MessagesLike],
        config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Answers to several conversations, asked for at the same time, beginning with the first.

        Args:
            inputs: the conversations.
            config: for all of them, or a list of one for each; `max_concurrency` limits how many are asked for at a
                time.
            return_exceptions: put an error in the place of its answer; otherwise the first one cancels the other
                calls and is raised.
            options: passed to :meth:`answer`.

        Returns:
            The answers, in the order of the inputs.

        Raises:
            ValueError: there are more or fewer configs than inputs.
        """
        return await ask_all(self.ainvoke, inputs, config, return_exceptions, options)

    def batch(
        self,
        inputs: Iterable[MessagesLike],
        config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """Answers to several conversations, for code that does not await. See :meth:`abatch`."""
        asked = list(inputs)
        return run_blocking(lambda: self.abatch(asked, config, return_exceptions=return_exceptions, **options))

    # ---------------------------------------------------------------- making other models of it

    @property
    def bound_options(self) -> Mapping[str, Any]:
        """What :meth:`bind` and :meth:`bind_tools` have given to every call."""
        return self._bound.options

    def bind(self, **options: Any) -> Self:
        """This model with options for every call.

        Args:
            options: passed to :meth:`answer`; a call may override them.

        Example:
            ```python
            from penstock.testing import ScriptedChatModel

            model = ScriptedChatModel(["Yes"])
            assert model.bind(temperature=0).invoke("Sure?").text == "Yes"
            assert model.calls[0].options == {"temperature": 0}
            ```
        """
        return self._with(CallSettings(options=options))

    def bind_tools(self, tools: Iterable[Any], *, tool_choice: Any = None, **options: Any) -> Self:
        """This model, told about tools that it may call.

        Args:
            tools: functions, tools made with `@tool`, objects with `name`, `description` and `args_schema` (LangChain's
                tools are such), pydantic models, or dicts with a JSON schema in the form of OpenAI or Anthropic.
            tool_choice: `"auto"`; `"any"`, `"required"` or True for at least one call; `"none"`; or the name of the
                tool to call.
            options: passed to :meth:`answer` as well.

        Raises:
            TypeError: something is no tool.
            ToolDefinitionError: a function does not say what a model needs to know of it.
            ValueError: `tool_choice` names none of them.
        """
        described = describe_tools(tools)
        if tool_choice is not None:
            options["tool_choice"] = _read_choice(tool_choice, tool_names(described))
        return self._with(CallSettings(options={"tools": described, **options}))

    def with_config(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Self:
        """This model with labels for its tokens.

        Args:
            config: a dict with the same keys, for those who have one.
            tags: what tokens can be filtered by; added to those it has. `"nostream"` keeps the answer out of
                `messages` mode.
            metadata: added to what the tokens say of themselves.
            run_name: name of the call, for tracing.

        Example:
            ```python
            from penstock.testing import ScriptedChatModel

            joker = ScriptedChatModel(["Knock, knock"]).with_config(tags=["joke"])
            assert joker.invoke("Tell me one").text == "Knock, knock"
            ```
        """
        given = read_settings(config, {})
        return self._with(given.under(CallSettings(read_tags(tags), dict(metadata or {}), run_name)))

    def with_retry(
        self,
        *,
        retry_if_exception_type: tuple[type[BaseException], ...] = (Exception,),
        wait_exponential_jitter: bool = True,
        stop_after_attempt: int = 3,
    ) -> ChatModel:
        """This model, asked again when it fails.

        A stream is begun again only as long as none of its chunks has been seen. `ainvoke` begins again even then;
        the tokens of the new attempt have another id.

        Args:
            retry_if_exception_type: errors to try again after.
            wait_exponential_jitter: wait a second, two, four, ... up to a minute, and up to a second more; otherwise
                try again at once.
            stop_after_attempt: how many attempts there are, at least 1.

        Example:
            ```python
            from penstock.testing import ScriptedChatModel

            shaky = ScriptedChatModel([ConnectionError("lost"), "There you are"])
            assert shaky.with_retry(wait_exponential_jitter=False).invoke("Hello?").text == "There you are"
            ```
        """
        from ._wrappers import RetryingModel

        return RetryingModel(self, retry_if_exception_type, wait_exponential_jitter, stop_after_attempt)

    def with_fallbacks(
        self,
        fallbacks: Sequence[ChatModel],
        *,
        exceptions_to_handle: tuple[type[BaseException], ...] = (Exception,),
    ) -> ChatModel:
        """This model, replaced for a call by another one when it fails.

        A stream changes the model only as long as none of its chunks has been seen.

        Args:
            fallbacks: models to ask in turn.
            exceptions_to_handle: errors after which the next one is asked.

        Example:
            ```python
            from penstock.testing import ScriptedChatModel

            broken = ScriptedChatModel([RuntimeError("out of order")])
            model = broken.with_fallbacks([ScriptedChatModel(["Still here"])])
            assert model.invoke("Hello?").text == "Still here"
            ```
        """
        from ._wrappers import FallbackModel

        return FallbackModel(self, fallbacks, exceptions_to_handle)

    def with_structured_output(
        self,
        schema: Any,
        *,
        method: Literal["function_calling", "json_schema"] | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        **options: Any,
    ) -> StructuredModel:
        """Something that answers with an object instead of a message.

        Args:
            schema: a pydantic model or a dataclass, whose instances come out; a `TypedDict` or a JSON schema (a dict
                with a `title`), for which dicts come out.
            method: `"function_calling"` has the model call a tool with this schema, `"json_schema"` has it write
                JSON; by default what suits the model.
            include_raw: answer with a dict of `raw` (the message), `parsed` and `parsing_error` instead, and do not
                raise what is wrong with the answer.
            strict: asks a provider that knows the word to hold on to the schema.
            options: passed to :meth:`answer`.

        Returns:
            Something with `invoke`, `ainvoke`, `batch` and `abatch`.

        Raises:
            TypeError: the schema is none of these.

        Example:
            ```python
            from dataclasses import dataclass

            from penstock.testing import ScriptedChatModel

            @dataclass
            class City:
                name: str
                inhabitants: int

            call = {"name": "City", "args": {"name": "Rome", "inhabitants": 2_750_000}}
            model = ScriptedChatModel([{"tool_calls": [call]}]).with_structured_output(City)
            assert model.invoke("Where to?") == City("Rome", 2_750_000)
            ```
        """
        from ._structured import StructuredModel

        chosen = method or self.structured_output_method
        return StructuredModel(self, schema, method=chosen, include_raw=include_raw, strict=strict, options=options)

    # ---------------------------------------------------------------- one attempt

    def _with(self, settings: CallSettings) -> Self:
        new = copy.copy(self)
        # Not by assignment: a model may be a frozen dataclass.
        object.__setattr__(new, "_bound", self._bound.under(settings))
        return new

    def _identity(self) -> dict[str, Any]:
        """What the metadata of its tokens says about the model."""
        identity: dict[str, Any] = {
            "ls_provider": self.provider or type(self).__name__.removesuffix("ChatModel").lower() or "chat",
            "ls_model_name": self.model_name or type(self).__name__,
            "ls_model_type": "chat",
        }
        if self.temperature is not None:
            identity["ls_temperature"] = self.temperature
        return identity

    async def _open_call(self, messages: list[BaseMessage], settings: CallSettings) -> ModelCall:
        around = look_around(settings.callbacks)
        if around.observers:
            await room(around)
        identity = self._identity()
        if settings.options.get("temperature") is not None:
            identity["ls_temperature"] = settings.options["temperature"]
        return ModelCall.open(
            tags=settings.tags,
            metadata={**identity, **settings.metadata},
            name=type(self).__name__,
            input=messages,
            config=settings.config,
            details={"options": settings.options},
            around=around,
        )

    async def _invoke_once(self, messages: list[BaseMessage], settings: CallSettings) -> AIMessage:
        """One attempt at the whole answer, shown to whoever wants its tokens."""
        call = await self._open_call(messages, settings)
        if call.span is None:
            message = await self._ask(call, messages, settings)
        else:
            with failing(call.span), inside(call.span):
                await call.begun
                message = await self._ask(call, messages, settings)
        await call.finished(message)
        return message

    async def _ask(self, call: ModelCall, messages: list[BaseMessage], settings: CallSettings) -> AIMessage:
        wanted = call.wanted
        whole = None if wanted else await self.answer_whole(messages, **settings.options)
        if whole is not None:
            whole.id = whole.id or f"run-{uuid4()}"
            return whole
        pieces: list[AIMessageChunk] = []
        source = self._pieces(messages, settings)
        try:
            async for piece in source:
                if wanted:
                    await call.emit(piece, whole=not isinstance(piece, AIMessageChunk))
                if isinstance(piece, AIMessageChunk):
                    pieces.append(piece)
                else:
                    whole = piece
        finally:
            await close_quietly(source)  # noqa: ASYNC102 - shields itself
        return whole if whole is not None else sum_chunks(pieces).to_message()

    async def _stream_once(
        self, messages: list[BaseMessage], settings: CallSettings
    ) -> AsyncGenerator[AIMessageChunk, None]:
        """One attempt at the answer's chunks, shown to whoever wants them."""
        call = await self._open_call(messages, settings)
        pieces: list[AIMessageChunk] = []
        whole: AIMessage | None = None
        source = self._pieces(messages, settings)
        heard = call.heard
        try:
            await call.begun
            async for piece in source if call.span is None else StepsInside(call.span, source):
                if heard:
                    await call.emit(piece, whole=not isinstance(piece, AIMessageChunk))
                if isinstance(piece, AIMessageChunk):
                    pieces.append(piece)
                    yield piece
                else:
                    whole = piece
                    await call.finished(piece)
                    yield _as_chunk(piece)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            await close_quietly(source)  # noqa: ASYNC102 - shields itself
        if whole is not None:
            return
        output = None if call.span is None else sum_chunks(_without_mark(pieces))
        await call.finished(sum_chunks(pieces).to_message(), output)

    def astream_events(
        self,
        input: MessagesLike,
        config: Mapping[str, Any] | None = None,
        *,
        version: Literal["v2"] = "v2",
        stop: Sequence[str] | None = None,
        **options: Unpack[EventOptions],
    ) -> RunStream[StreamEvent]:
        """Ask the model, and stream the call as events: its start, its tokens, its end.

        Args:
            input: as for :meth:`ainvoke`.
            config: as for :meth:`ainvoke`.
            version: there is only "v2".
            stop: texts that end the answer.
            options: which events are wanted (`include_names`, `include_types`, `include_tags`, `exclude_names`,
                `exclude_types`, `exclude_tags`), and how many may be unread (`high_water_mark`): see
                :class:`penstock.runtime.EventOptions`.

        Returns:
            A stream of events: iterate it, or enter it with `async with` first. Leaving it ends the call.

        Raises:
            ValueError: there is no such version or type.

        Example:
            ```python
            from penstock.testing import ScriptedChatModel

            model = ScriptedChatModel([["Thir", "teen"]], cycle=True)
            events = [event async for event in model.astream_events("6 + 7?", version="v2")]
            assert events[0]["event"] == "on_chat_model_start"
            assert events[0]["data"] == {"input": "6 + 7?"}
            assert [e["data"]["chunk"].text for e in events[1:-1]] == ["Thir", "teen", ""]
            assert events[-1]["data"]["output"].text == "Thirteen"
            ```
        """

        async def ask(given: Mapping[str, Any]) -> AIMessage:
            chunks = [chunk async for chunk in self.astream(input, given, stop=stop)]
            return sum_chunks(chunks).to_message()

        return stream_events(
            type(self).__name__,
            ask,
            input,
            config,
            version=version,
            options=options,
        )

    async def _pieces(
        self, messages: list[BaseMessage], settings: CallSettings
    ) -> AsyncGenerator[AIMessageChunk | AIMessage, None]:
        """The answer with ids and an end: chunks, the last of them marked; or one whole message."""
        answer_id: str | None = None
        ended = False
        source = self.answer(messages, **settings.options)
        if not hasattr(source, "__aiter__"):
            raise _no_iterator(self, source)
        try:
            async for said in source:
                piece = AIMessageChunk(said) if isinstance(said, str) else said
                if not isinstance(piece, AIMessage):
                    raise ModelOutputError(
                        f"{type(self).__name__}.answer() yielded {said!r} ({type(said).__name__}); expected "
                        "AIMessageChunk or text, or one AIMessage"
                    )
                if answer_id is None:
                    answer_id = piece.id or f"run-{uuid4()}"
                piece.id = answer_id
                ended = ended or not isinstance(piece, AIMessageChunk) or piece.chunk_position == "last"
                yield piece
        finally:
            await close_quietly(source)  # noqa: ASYNC102 - shields itself
        if not ended:
            yield AIMessageChunk(id=answer_id or f"run-{uuid4()}", chunk_position="last")


class ChatStream(AsyncIterator[AIMessageChunk]):
    """The chunks of one answer: what `ChatModel.astream` returns.

    Iterate over it. Inside `async with` the provider's stream is closed when the block ends; otherwise at the end of
    the answer, when the iteration fails or is cancelled, or when Python drops the iterator.
    """

    def __init__(self, source: AsyncGenerator[AIMessageChunk, None]) -> None:
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AIMessageChunk:
        return await self._source.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the answer and close the provider's stream; any number of times."""
        await close_quietly(self._source)


async def close_quietly(source: Any) -> None:
    """Close an async generator, or whatever else has `aclose` or `close`, also in the middle of a cancellation."""
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    if close is not None:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            closing = close()
            if isawaitable(closing):
                await closing


def _without_mark(pieces: list[AIMessageChunk]) -> list[AIMessageChunk]:
    """The chunks without the last one if that only says that it is the last."""
    last = pieces[-1]
    empty = not (last.content or last.usage_metadata or last.tool_call_chunks or last.response_metadata)
    return pieces[:-1] if empty and len(pieces) > 1 else pieces


def _no_iterator(model: ChatModel, returned: Any) -> ModelOutputError:
    if iscoroutine(returned):
        returned.close()
    return ModelOutputError(
        f"{type(model).__name__}.answer() gave {type(returned).__name__}, which `async for` cannot read; write it as "
        "`async def answer(...)` with `yield` instead of `return`"
    )


def read_input(input: Any) -> list[BaseMessage]:
    """The conversation of a call; LangChain's prompt values know theirs."""
    to_messages: Any = getattr(input, "to_messages", None)
    messages: Any = to_messages() if callable(to_messages) else input
    return coerce_messages(messages)


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    return AIMessageChunk(
        message.content,
        id=message.id,
        name=message.name,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        usage_metadata=message.usage_metadata,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )


def _read_choice(choice: Any, names: list[str]) -> Any:
    """`tool_choice` in the form that all adapters read."""
    if choice is True or choice == "any":
        return "required"
    if choice is False:
        return "auto"
    if isinstance(choice, Mapping):
        named = choice.get("function", choice)
        named = named.get("name") if isinstance(named, Mapping) else None
        choice = named if isinstance(named, str) else _KINDS.get(str(choice.get("type")), choice)
    if choice in ("auto", "none", "required") or choice in names:
        return choice
    raise ValueError(
        f"tool_choice={choice!r} names no tool; expected 'auto', 'any', 'none', or one of {', '.join(map(repr, names))}"
    )


_KINDS = {"auto": "auto", "any": "required", "none": "none", "required": "required"}


async def ask_all(
    ask: Callable[..., Awaitable[Any]],
    inputs: Iterable[Any],
    config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    return_exceptions: bool,
    options: Mapping[str, Any],
) -> list[Any]:
    """What `abatch` does, with `ainvoke` of whatever can be asked."""
    asked = list(inputs)
    configs: list[Any] = list(config) if isinstance(config, (list, tuple)) else [config] * len(asked)
    if len(configs) != len(asked):
        raise ValueError(f"got {len(configs)} configs for {len(asked)} inputs; expected one for each, or one for all")
    limits = [limit for each in configs if each and (limit := each.get("max_concurrency"))]
    return await gather(
        [partial(ask, one, each, **options) for one, each in zip(asked, configs, strict=True)],
        limit=min(limits, default=None),
        return_exceptions=return_exceptions,
    )


async def gather(
    calls: Sequence[Callable[[], Any]], *, limit: int | None = None, return_exceptions: bool = False
) -> list[Any]:
    """Await all of them at the same time; the first error cancels the others and is raised as itself."""
    results: list[Any] = [None] * len(calls)
    failed: list[Exception] = []
    gate = anyio.Semaphore(limit) if limit else nullcontext()
    # Each lets the next one begin: trio would begin with any of them.
    turns = [anyio.Event() for _ in range(len(calls) + 1)]
    turns[0].set()

    async def run(index: int) -> None:
        try:
            await turns[index].wait()
            async with gate:
                turns[index + 1].set()
                results[index] = await calls[index]()
        except Exception as error:
            if return_exceptions:
                results[index] = error
            else:
                failed.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index in range(len(calls)):
            group.start_soon(run, index)
    if failed:
        try:
            raise failed[0]
        finally:
            failed.clear()
    return results

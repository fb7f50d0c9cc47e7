"""Models that ask other models: again, or another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from random import random
from typing import Any

import anyio

from penstock.messages import AIMessage, AIMessageChunk, BaseMessage, sum_chunks
from penstock.runtime import Span, retry_delay
from penstock.runtime._spans import Link, failing, inside, look_around, open_span, room
from penstock.types import RetryPolicy

from ._chat_model import AnswerPiece, ChatModel, close_quietly
from ._settings import CallSettings


class _Chain(ChatModel):
    """Asks models one after the other until one answers."""

    _told_when_streamed = True

    def __init__(self, first: ChatModel) -> None:
        self.provider = first.provider
        self.model_name = first.model_name
        self.temperature = first.temperature
        # Of a class variable: what the first model prefers.
        object.__setattr__(self, "structured_output_method", first.structured_output_method)

    def _model(self, attempt: int) -> ChatModel:
        """The model to ask; attempts count from 1."""
        raise NotImplementedError

    def _pause(self, error: BaseException, attempt: int) -> float | None:
        """Seconds to wait after a failed attempt before the next; None to give up."""
        raise NotImplementedError

    @property
    def _name(self) -> str:
        """What the attempts together are called, for observers."""
        raise NotImplementedError

    def _tags(self, attempt: int) -> tuple[str, ...]:
        """Labels of an attempt, for observers."""
        return ()

    def answer(self, messages: list[BaseMessage], **options: Any) -> AsyncIterator[AnswerPiece]:
        """The first model's answer."""
        first = self._model(1)
        return first.answer(messages, **{**first._bound.options, **options})

    async def _invoke_once(self, messages: list[BaseMessage], settings: CallSettings) -> AIMessage:
        span = await self._open_span(messages, settings)
        if span is None:
            return await self._attempts(messages, settings, None)
        with failing(span), inside(span):
            await span.receipt
            message = await self._attempts(messages, settings, span)
        await span.end(message)
        return message

    async def _open_span(self, messages: list[BaseMessage], settings: CallSettings) -> Span | None:
        around = look_around(settings.callbacks)
        if not around.observers:
            return None
        await room(around)
        config = {**settings.config, "tags": settings.tags, "metadata": settings.metadata}
        return open_span("chain", self._name, config, input=messages, around=around)

    def _settings(self, attempt: int, settings: CallSettings, span: Span | None) -> CallSettings:
        """The settings of an attempt: what names the call names all of them together."""
        inner = self._model(attempt)._bound.under(settings)
        if span is None:
            return inner
        return replace(inner, callbacks=Link(span, self._tags(attempt)), run_name=None, run_id=None)

    async def _attempts(self, messages: list[BaseMessage], settings: CallSettings, span: Span | None) -> AIMessage:
        attempt = 1
        while True:
            try:
                return await self._model(attempt)._invoke_once(messages, self._settings(attempt, settings, span))
            except Exception as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
            await anyio.sleep(pause)
            attempt += 1

    async def _stream_once(
        self, messages: list[BaseMessage], settings: CallSettings
    ) -> AsyncGenerator[AIMessageChunk, None]:
        span = await self._open_span(messages, settings) if self._told_when_streamed else None
        source = self._stream_attempts(messages, settings, span)
        chunks: list[AIMessageChunk] = []
        try:
            async for chunk in source:
                if span is not None:
                    chunks.append(chunk)
                yield chunk
        except BaseException as error:
            if span is not None:
                span.fail_by(error)
            raise
        finally:
            await close_quietly(source)  # noqa: ASYNC102 - shields itself
        if span is not None:
            await span.end(sum_chunks(chunks))

    async def _stream_attempts(
        self, messages: list[BaseMessage], settings: CallSettings, span: Span | None
    ) -> AsyncGenerator[AIMessageChunk, None]:
        attempt = 1
        while True:
            seen = False
            source = self._model(attempt)._stream_once(messages, self._settings(attempt, settings, span))
            try:
                async for chunk in source:
                    seen = True
                    yield chunk
                return
            except Exception as error:
                pause = None if seen else self._pause(error, attempt)
                if pause is None:
                    raise
            finally:
                await close_quietly(source)  # noqa: ASYNC102 - shields itself
            await anyio.sleep(pause)
            attempt += 1


class RetryingModel(_Chain):
    """What `ChatModel.with_retry` returns."""

    def __init__(self, model: ChatModel, retry_on: tuple[type[BaseException], ...], wait: bool, attempts: int) -> None:
        if attempts < 1:
            raise ValueError(f"stop_after_attempt must be a whole number of at least 1, got {attempts!r}")
        super().__init__(model)
        self._inner = model
        self._wait = wait
        self._told_when_streamed = False  # only the attempts are, as in LangChain
        self._policy = RetryPolicy(
            initial_interval=1.0,
            backoff_factor=2.0,
            max_interval=60.0,
            max_attempts=attempts,
            jitter=True,
            retry_on=lambda error: isinstance(error, retry_on),
        )

    @property
    def _name(self) -> str:
        return type(self._inner).__name__

    def _tags(self, attempt: int) -> tuple[str, ...]:
        return () if attempt == 1 else (f"retry:attempt:{attempt}",)

    def _model(self, attempt: int) -> ChatModel:
        return self._inner

    def _pause(self, error: BaseException, attempt: int) -> float | None:
        assert isinstance(error, Exception)
        pause = retry_delay([self._policy], error, attempt, random)
        return pause if pause is None or self._wait else 0.0


class FallbackModel(_Chain):
    """What `ChatModel.with_fallbacks` returns."""

    def __init__(
        self, model: ChatModel, fallbacks: Sequence[ChatModel], exceptions: tuple[type[BaseException], ...]
    ) -> None:
        for other in fallbacks:
            if not isinstance(other, ChatModel):
                raise TypeError(f"with_fallbacks() expects chat models, got {other!r} ({type(other).__name__})")
        super().__init__(model)
        self._models = (model, *fallbacks)
        self._exceptions = exceptions

    @property
    def _name(self) -> str:
        return "RunnableWithFallbacks"

    def _model(self, attempt: int) -> ChatModel:
        return self._models[attempt - 1]

    def _pause(self, error: BaseException, attempt: int) -> float | None:
        return 0.0 if attempt < len(self._models) and isinstance(error, self._exceptions) else None

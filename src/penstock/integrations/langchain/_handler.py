"""The callback handler that shows the tokens of LangChain's chat models."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from types import MethodType
from typing import Any, ClassVar
from uuid import UUID

from penstock.constants import TAG_NOSTREAM
from penstock.errors import WrongBackendError
from penstock.runtime import ModelCall
from penstock.runtime._task import Attempt
from penstock.streams import DONE
from penstock.streams._backend import on_trio

_INTERNAL_TAGS = ("seq:step:", "langsmith:")
"""How tags begin that LangChain adds for itself."""

_OTHER_NOSTREAM = "langsmith:nostream"

_PLACE = ("langgraph_", "checkpoint_ns")
"""How the keys begin that say where in a graph something is called: the attempt itself knows best."""


def user_tags(tags: list[str] | None) -> list[str]:
    """The tags without those that LangChain adds for itself."""
    return [tag for tag in tags or () if not tag.startswith(_INTERNAL_TAGS)]


def without_place(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """The metadata without what it says about a place in a graph."""
    return {key: value for key, value in (metadata or {}).items() if not key.startswith(_PLACE)}


# Whether the model call that is being started in this context is to stream.
_streams: ContextVar[bool] = ContextVar("penstock_langchain_streams", default=False)


async def _coroutine_function(*_args: Any, **_kwargs: Any) -> None: ...


class _Event(functools.partial[Any]):
    """A handler's method for both of LangChain's worlds.

    The asynchronous callback manager awaits what a coroutine function returns; the synchronous one would run it on
    an event loop of its own.  This passes for a coroutine function, as every partial of one does, and returns what
    can be awaited, but is no coroutine: the one awaits it, and is held back by a slow reader, and the other has had
    the chunk written by the call itself.
    """

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.args[0](*args, **kwargs)


class event:
    """Makes a method such an event.  Bound when it is looked up: a handler that held its own would be a cycle."""

    def __init__(self, method: Callable[..., Awaitable[None]]) -> None:
        self._method = method

    def __get__(self, handler: Any, _owner: Any = None) -> Any:
        return _Event(_coroutine_function, MethodType(self._method, handler))


class _Refusal:
    """Raises when it is awaited: only LangChain's asynchronous API does that.

    Args:
        refused: told the error first.
    """

    def __init__(self, refused: Callable[[BaseException], object] | None) -> None:
        self._refused = refused

    def __await__(self) -> Generator[Any, Any, None]:
        return self._refuse().__await__()

    async def _refuse(self) -> None:  # noqa: ASYNC124 - what is awaited must be a coroutine
        error = WrongBackendError(
            "LangChain's asynchronous API runs on asyncio only, and this graph runs on trio. Call its synchronous one "
            "in a worker thread (a node that is a plain function runs in one; elsewhere `await "
            "anyio.to_thread.run_sync(model.invoke, messages)`), or use a model of penstock.models, which runs on both"
        )
        if self._refused is not None:
            self._refused(error)
        raise error


def refuse_on_trio(refused: Callable[[BaseException], object] | None = None) -> Awaitable[None]:
    """What a start returns: on trio it refuses to be awaited."""
    return _Refusal(refused) if on_trio() else DONE


class SometimesStreaming:
    """A handler that LangChain takes for one that streams only where it says so.

    LangChain streams in `invoke`, too, and lets the output of its chains pass through a handler, if that has two
    methods, by the rules of `isinstance` for protocols.  Whether this one has them depends on the call at hand, which
    has just been started in the same context.
    """

    _switch: ClassVar[ContextVar[bool]]

    def tap_iter(self, run_id: UUID, output: Any) -> Any:
        """What becomes of a run's output: nothing."""
        return output

    tap_aiter = tap_iter

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Streaming if self._switch.get() else type(self)

    def __getattr__(self, name: str) -> Any:
        if name in _TAPS and self._switch.get():
            return getattr(self, _TAPS[name])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


_TAPS = {"tap_output_iter": "tap_iter", "tap_output_aiter": "tap_aiter"}


class _Streaming:
    """What a handler passes for while a call is started that somebody wants to see."""

    def tap_output_iter(self, _run_id: UUID, output: Any) -> Any:
        return output

    def tap_output_aiter(self, _run_id: UUID, output: Any) -> Any:
        return output


class TokenHandler(SometimesStreaming):
    """Shows the tokens of the chat models that are called in an attempt.

    The other half of it is LangChain's base class, which it is joined with where that is imported.

    Args:
        attempt: the attempt.
        shows: whether there is anybody to show them to; if not, it only tells those on trio who cannot be called.
    """

    run_inline = True
    raise_error = True

    _switch = _streams

    def __init__(self, attempt: Attempt, shows: bool) -> None:
        self.shows = shows
        self._attempt = attempt
        self._calls: dict[UUID, _Call] = {}

    # ---------------------------------------------------------------- what LangChain asks it

    @property
    def ignore_chain(self) -> bool:
        return not on_trio()

    @property
    def ignore_agent(self) -> bool:  # tools, in fact
        return not on_trio()

    @property
    def ignore_retriever(self) -> bool:
        return not on_trio()

    @property
    def ignore_retry(self) -> bool:
        return True

    @property
    def ignore_custom_event(self) -> bool:
        return True

    # ---------------------------------------------------------------- what LangChain tells it

    @event
    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: UUID,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Awaitable[None]:
        shown = user_tags(tags)
        if _OTHER_NOSTREAM in (tags or ()):
            shown.append(TAG_NOSTREAM)
        call = ModelCall.open(tags=shown, metadata=without_place(metadata), attempt=self._attempt, observed=False)
        self._calls[run_id] = _Call(call)
        _streams.set(call.wanted)
        return refuse_on_trio()

    @event
    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **kwargs: Any) -> Awaitable[None]:
        call = self._calls.get(run_id)
        message = getattr(chunk, "message", None)
        if call is None or message is None:
            return DONE
        call.has_streamed = True
        return call.shown.emit(message)

    @event
    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> Awaitable[None]:
        call = self._calls.pop(run_id, None)
        message = getattr(response.generations[0][0], "message", None) if any(response.generations) else None
        if call is None or message is None:
            return DONE
        receipt = DONE if call.has_streamed else call.shown.emit(message)
        _ = call.shown.finished(message)
        return receipt

    @event
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> Awaitable[None]:
        self._calls.pop(run_id, None)
        return DONE

    @event
    def on_llm_start(self, *args: Any, **kwargs: Any) -> Awaitable[None]:
        return refuse_on_trio()

    on_chain_start = on_tool_start = on_retriever_start = on_llm_start


def is_listening(handler: Any) -> bool:
    """Whether a handler is there to hear of calls."""
    return handler.shows if isinstance(handler, TokenHandler) else True


class _Call:
    __slots__ = ("has_streamed", "shown")

    def __init__(self, shown: ModelCall) -> None:
        self.shown = shown
        self.has_streamed = False

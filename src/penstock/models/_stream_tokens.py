"""Showing what a provider's own client streams."""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload
from uuid import uuid4

from typing_extensions import Self

from penstock.messages import AIMessage, AIMessageChunk, sum_chunks
from penstock.runtime import ModelCall

from ._chat_model import close_quietly
from ._deltas import read_delta
from ._settings import read_tags

T = TypeVar("T")


@overload
def stream_tokens(
    source: AsyncIterable[T],
    *,
    tags: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> TokenStream[T]: ...
@overload
def stream_tokens(
    source: Iterable[T],
    *,
    tags: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> SyncTokenStream[T]: ...
def stream_tokens(
    source: AsyncIterable[T] | Iterable[T],
    *,
    tags: Collection[str] = (),
    metadata: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> TokenStream[T] | SyncTokenStream[T]:
    """Show in `messages` mode what any client of a model streams inside a node.

    The items come out as they went in. A reader of the run that is slow slows the iteration down, and with it the
    provider. Outside of a run nothing is shown.

    Args:
        source: what the client gives to iterate over: async, or not if the node is not. Its items are text,
            `AIMessageChunk`, chunks of OpenAI's chat completions, or events of OpenAI's responses or Anthropic's
            messages; as SDK objects or as dicts.
        tags: what the tokens can be filtered by.
        metadata: added to what the tokens say of themselves, such as `{"ls_model_name": "gpt-4o-mini"}`.
        id: the id of the message that the tokens are part of. A node that returns the whole message gives it the same
            id, so that it is not shown again.

    Returns:
        An iterator of the same kind, which closes the source when it is closed.

    Raises:
        TypeError: there is nothing to iterate over, or, during the iteration, an item cannot be read.

    Example:
        ```python
        from typing import TypedDict

        from penstock.graph import START, StateGraph
        from penstock.models import stream_tokens

        class State(TypedDict):
            text: str

        async def client():
            for token in ("Hel", "lo"):
                yield token

        async def work(state: State):
            return {"text": "".join([token async for token in stream_tokens(client(), tags=["greeting"])])}

        graph = StateGraph(State).add_node(work).add_edge(START, "work").compile()
        shown = list(graph.stream({"text": ""}, stream_mode="messages"))
        assert [chunk.text for chunk, metadata in shown] == ["Hel", "lo", ""]
        assert shown[0][1]["tags"] == ["greeting"]
        ```
    """
    shown = _Shown(read_tags(tags), metadata, id)
    if isinstance(source, AsyncIterable):
        return TokenStream(source, shown)
    given: object = source
    if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)):
        return SyncTokenStream(given, shown)
    raise TypeError(
        f"stream_tokens() got {source!r} ({type(source).__name__}); expected what a client streams, something to "
        "iterate over with `async for` or `for`"
    )


class _Shown:
    """What is common to both iterators: the call, and turning items into chunks."""

    def __init__(self, tags: tuple[str, ...], metadata: Mapping[str, Any] | None, id: str | None) -> None:
        self._call = ModelCall.open(
            tags=tags, metadata={"ls_model_type": "chat", **(metadata or {})}, name="stream_tokens"
        )
        self._chunks: list[Any] = []
        self._id = id
        self._any = False
        self._ended = False
        # An observer wants the whole answer even if it does not want the chunks.
        self.wanted: bool = self._call.wanted or self._call.span is not None

    def show(self, item: Any) -> Any:
        """Something to await, or to leave, if the item is to be shown."""
        chunk = read_delta(item)
        if chunk is None:
            return None
        if not self.wanted:
            if self._id is not None and not self._any:  # of a call tagged `nostream` its message is not shown either
                self._any = True
                _ = self._call.finished(AIMessage("", id=self._id))
            return None
        self._id = self._id or getattr(chunk, "id", None) or f"run-{uuid4()}"
        if chunk is item:
            # It belongs to the client.
            chunk = chunk if chunk.id == self._id else chunk.model_copy(update={"id": self._id})
        else:
            chunk.id = self._id
        self._any = True
        self._ended = self._ended or getattr(chunk, "chunk_position", None) == "last"
        if self._call.span is not None:
            self._chunks.append(chunk)
        return self._call.emit(chunk)

    def end(self) -> Any:
        """The source has nothing more."""
        if not self._any:
            return None
        shown = None
        if self.wanted and not self._ended:
            shown = self._call.emit(AIMessageChunk(id=self._id, chunk_position="last"))
        ended = self._call.finished(AIMessage("", id=self._id), self._whole())
        self._any = False
        return shown if self._call.span is None else ended

    def _whole(self) -> Any:
        """The answer, for observers."""
        chunks, self._chunks = self._chunks, []
        if not chunks or all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
            return sum_chunks(chunks) if chunks else None
        return functools.reduce(operator.add, chunks)  # another library's

    def failed(self, error: BaseException) -> None:
        """The source has failed, or nobody wants the rest of it."""
        self._call.failed(error)

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None:
            call.failed(GeneratorExit())


class TokenStream(AsyncIterator[T], Generic[T]):
    """A client's async stream, whose items are shown in `messages` mode as they pass: see `stream_tokens`."""

    def __init__(self, source: AsyncIterable[T], shown: _Shown) -> None:
        self._given = source
        self._source = source.__aiter__()
        self._shown = shown

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            item = await self._source.__anext__()
        except StopAsyncIteration:
            shown = self._shown.end()
            if shown is not None:
                await shown  # noqa: ASYNC120 - it is only the end
            raise
        except BaseException as error:
            self._shown.failed(error)
            raise
        shown = self._shown.show(item)
        if shown is not None:
            await shown
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the source; any number of times."""
        self._shown.failed(GeneratorExit())
        await close_quietly(self._source)
        if self._given is not self._source:
            await close_quietly(self._given)


class SyncTokenStream(Iterator[T], Generic[T]):
    """A client's stream, whose items are shown in `messages` mode as they pass: see `stream_tokens`."""

    def __init__(self, source: Iterable[T], shown: _Shown) -> None:
        self._given = source
        self._source = iter(source)
        self._shown = shown

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            item = next(self._source)
        except StopIteration:
            self._shown.end()
            raise
        except BaseException as error:
            self._shown.failed(error)
            raise
        self._shown.show(item)
        return item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source; any number of times."""
        self._shown.failed(GeneratorExit())
        for source in (self._source, self._given):
            close = getattr(source, "close", None)
            if close is not None:
                close()

"""A small HTTP server on loopback, in a thread of its own: just enough for the SDKs of model providers."""

from __future__ import annotations

import json
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import anyio
import anyio.abc
from typing_extensions import Self

from penstock.errors import ModelError

from ._script import Script, ScriptedAnswer, read_answer

_HEAD_LIMIT = 65_536
_SEND_BUFFER = 16_384
"""Bytes the kernel keeps for a client that does not read: small, so that tests of backpressure need little."""


# What a socket says when the other side has closed it.
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class HTTPFailure(Exception):
    """As an answer: the server refuses the request. In the middle of an answer: an error event ends the stream.

    Args:
        status: the HTTP status, such as 429.
        message: what the server says about it.
    """

    def __init__(self, status: int, message: str = "scripted failure") -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


class HangUp(Exception):
    """In the middle of an answer: the server cuts the connection."""


@dataclass(frozen=True)
class FakeRequest:
    """A request that a fake server got.

    Attributes:
        path: such as `/v1/chat/completions`.
        headers: by lower-case name.
        body: the JSON.
    """

    path: str
    headers: Mapping[str, str]
    body: Any


class FakeServer(ABC):
    """What the fake servers have in common: open one with `with`; it listens on a free port of loopback.

    Args:
        answers: one per request, in the forms that `ScriptedChatModel` takes; a function gets the request's JSON. An
            `HTTPFailure` or a `HangUp` may stand where an exception may.
        delay: seconds before each piece.
        cycle: begin again after the last answer; otherwise one request too many is refused with status 500.
    """

    def __init__(self, answers: Iterable[ScriptedAnswer], *, delay: float = 0, cycle: bool = False) -> None:
        self.requests: list[FakeRequest] = []
        """The requests so far."""
        self.bytes_sent: int = 0
        """Bytes of answers that the kernel has taken."""
        self.chunks_sent: int = 0
        """Events of streamed answers that the kernel has taken."""
        self.disconnects: int = 0
        """How many clients went away in the middle of an answer."""
        self._script = Script(answers, cycle=cycle, owner=type(self).__name__)
        self._delay = delay
        self._changed = threading.Condition()
        self._port = 0
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object]
        self._mistakes: list[Exception] = []

    # ---------------------------------------------------------------- for the test

    @property
    def url(self) -> str:
        """Address of the server, without a path."""
        if not self._port:
            raise RuntimeError(f"{type(self).__name__} is not running; open it with `with`")
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError(f"{type(self).__name__} is running already")
        ready = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._main, args=(ready, failed), name=f"penstock-{type(self).__name__}", daemon=True
        )
        self._thread.start()
        ready.wait()
        if failed:
            raise failed[0]
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            thread.join()
            self._port = 0
        if self._mistakes and exc is None:
            raise self._mistakes.pop(0)

    def wait_for_disconnect(self, count: int = 1, timeout: float = 5.0) -> bool:
        """Wait until that many clients have gone away in the middle of an answer.

        Args:
            count: how many in all.
            timeout: seconds to wait for it.

        Returns:
            Whether they have. It blocks: in async code call it with `anyio.to_thread.run_sync`.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self.disconnects >= count, timeout)

    # ---------------------------------------------------------------- for the subclasses

    @abstractmethod
    def _events(self, request: Any, answer: ScriptedAnswer) -> Iterable[bytes | float | BaseException]:
        """The server-sent events of an answer, pauses, and errors to end with."""

    @abstractmethod
    def _whole(self, request: Any, answer: ScriptedAnswer) -> Any:
        """The JSON of an answer that is not streamed."""

    @abstractmethod
    def _error(self, failure: HTTPFailure) -> Any:
        """The JSON of an error."""

    @abstractmethod
    def _error_event(self, failure: HTTPFailure) -> bytes:
        """The event of an error in the middle of an answer."""

    # ---------------------------------------------------------------- the server

    def _main(self, ready: threading.Event, failed: list[BaseException]) -> None:
        try:
            anyio.run(self._serve, ready)
        except BaseException as error:  # noqa: ASYNC103 - raised by whoever opens the server
            failed.append(error)
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        done = anyio.Event()
        async with anyio.from_thread.BlockingPortal() as portal:
            self._stop = lambda: portal.start_task_soon(done.set)
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
            async with listener, anyio.create_task_group() as group:
                self._port = listener.extra(anyio.abc.SocketAttribute.local_port)
                group.start_soon(listener.serve, self._handle)
                ready.set()
                await done.wait()
                group.cancel_scope.cancel()

    async def _handle(self, stream: anyio.abc.SocketStream) -> None:
        stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            async with stream:
                request = await _read_request(stream)
                if request is not None:
                    self.requests.append(request)
                    await self._answer(stream, request)
        except _GONE:
            self._count_disconnect()
        except Exception as error:
            # A mistake in the script; raised when the server is closed.
            self._mistakes.append(error)

    async def _answer(self, stream: anyio.abc.SocketStream, request: FakeRequest) -> None:
        try:
            answer = self._script.next(request.body)
            if isinstance(answer, (HTTPFailure, HangUp)):
                raise answer
            if request.body.get("stream"):
                await self._send_stream(stream, self._events(request.body, answer))
                return
            status, body = 200, self._whole(request.body, answer)
            # One answer takes as long as all its pieces. A client that goes away meanwhile is noticed at once.
            pauses = [step if isinstance(step, (int, float)) else self._delay for step in read_answer(answer)]
            with anyio.move_on_after(sum(pauses) if pauses else self._delay):
                await stream.receive()
        except HangUp:
            return
        except ModelError as error:
            status, body = 500, self._error(HTTPFailure(500, str(error)))
        except HTTPFailure as failure:
            status, body = failure.status, self._error(failure)
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
        await self._send(stream, head.encode() + b"connection: close\r\n\r\n" + text)

    async def _send_stream(
        self, stream: anyio.abc.SocketStream, events: Iterable[bytes | float | BaseException]
    ) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        await self._send(stream, head + b"connection: close\r\n\r\n")
        failed: list[Exception] = []

        async def send() -> None:
            # Not to be raised here: the task group would make a group of it.
            try:
                await self._send_events(stream, events)
            except Exception as error:
                failed.append(error)
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            # A client that is content says nothing more; one that has gone away is noticed at once.
            try:
                while True:
                    await stream.receive()
            except _GONE as error:
                failed.append(error)
                group.cancel_scope.cancel()
        if failed:
            raise failed[0]

    async def _send_events(
        self, stream: anyio.abc.SocketStream, events: Iterable[bytes | float | BaseException]
    ) -> None:
        for event in events:
            if isinstance(event, (int, float)):
                await anyio.sleep(event)
                continue
            if isinstance(event, HTTPFailure):
                data = self._error_event(event)
            elif isinstance(event, BaseException):
                raise event
            else:
                await anyio.sleep(self._delay)
                data = event
            await self._send(stream, b"%x\r\n%b\r\n" % (len(data), data))
            self.chunks_sent += 1
            if isinstance(event, HTTPFailure):
                break
        await self._send(stream, b"0\r\n\r\n")

    async def _send(self, stream: anyio.abc.SocketStream, data: bytes) -> None:
        await stream.send(data)
        self.bytes_sent += len(data)

    def _count_disconnect(self) -> None:
        with self._changed:
            self.disconnects += 1
            self._changed.notify_all()


async def _read_request(stream: anyio.abc.SocketStream) -> FakeRequest | None:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            data += await stream.receive()
        except anyio.EndOfStream:
            return None
        if len(data) > _HEAD_LIMIT:
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        body += await stream.receive()
    return FakeRequest(first.split(" ")[1], headers, json.loads(body) if body else {})

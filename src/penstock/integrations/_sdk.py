"""What the adapters of provider SDKs have in common: clients, keys and errors."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from inspect import signature
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar

from penstock.errors import (
    MissingExtraError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
    ModelSetupError,
    ModelTimeoutError,
)
from penstock.models._chat_model import CLOSE_TIMEOUT, close_quietly


def import_sdk(name: str) -> Any:
    """The SDK's module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"models of {name} need the package {name!r}, which cannot be imported ({error}); "
            f"pip install penstock[{name}]"
        ) from error


def find_key(given: str | None, variables: tuple[str, ...], base_url: str | None, provider: str) -> str:
    """The key of a provider: as given, or of the environment.

    A server of one's own, at a `base_url`, usually wants none.

    Raises:
        ModelSetupError: there is none; the text says which variable to set.
    """
    found = given or next((value for name in variables if (value := os.environ.get(name))), None)
    if found:
        return found
    if base_url:
        return "not-needed"
    raise ModelSetupError(
        f"there is no key for {provider}: set the environment variable {variables[0]}, or pass api_key="
    )


class Clients:
    """The clients of one model and its copies: one per event loop, because connections cannot change loops.

    Args:
        make: makes a client.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def get(self) -> Any:
        """The client of the running loop."""
        clients = _clients.get(None)
        if clients is None:
            clients = WeakKeyDictionary()
            _clients.set(clients)
        client = clients.get(self)
        if client is None:
            client = clients[self] = self._make()
        return client

    async def aclose(self) -> None:
        """Close the client of the running loop, if there is one."""
        clients = _clients.get(None)
        client = None if clients is None else clients.pop(self, None)
        if client is not None:
            await close_quietly(client)


_clients: RunVar[MutableMapping[Clients, Any] | None] = RunVar("penstock_sdk_clients", None)


def translate_error(error: Exception, sdk: Any, provider: str) -> Exception:
    """An SDK's exception, or one of the HTTP client below it, as a `ModelError`; any other one as it is."""
    if isinstance(error, sdk.APIStatusError):
        return _status_error(error, provider)
    if isinstance(error, sdk.APITimeoutError):
        return ModelTimeoutError(f"{provider} did not answer in time: {_words(error)}")
    if isinstance(error, sdk.APIConnectionError):
        return ModelConnectionError(f"the connection to {provider} failed: {_words(error)}")
    if isinstance(error, sdk.APIError):
        return ModelServerError(f"{provider} failed in the middle of its answer: {_words(error)}")
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        if "Timeout" in type(error).__name__:
            return ModelTimeoutError(f"{provider} did not go on in time: {_words(error)}")
        return ModelConnectionError(f"the connection to {provider} failed in the middle of its answer: {_words(error)}")
    return error


_OF_STATUS: dict[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    403: ModelAuthenticationError,
    408: ModelTimeoutError,
    429: ModelRateLimitError,
    504: ModelTimeoutError,
}
_OF_TYPE: dict[str, type[ModelError]] = {
    "authentication_error": ModelAuthenticationError,
    "invalid_request_error": ModelRequestError,
    "permission_error": ModelAuthenticationError,
    "rate_limit_error": ModelRateLimitError,
    "timeout_error": ModelTimeoutError,
}


def _status_error(error: Any, provider: str) -> ModelError:
    status: int = error.status_code
    if status < 400:
        # Anthropic's SDK makes one of an error event in a stream that began well.
        found = _OF_TYPE.get(_detail(error, "type") or "", ModelServerError)
        return found(f"{provider} failed in the middle of its answer: {_words(error)}", status=status)
    cls = _OF_STATUS.get(status) or (ModelServerError if status >= 500 else ModelRequestError)
    return cls(f"{provider} answered with status {status}: {_words(error)}", status=status)


def _detail(error: Any, key: str) -> str | None:
    """What the provider's answer says about the error."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        found = inner.get(key) if isinstance(inner, Mapping) else None
        return found if isinstance(found, str) else None
    return None


def _words(error: Exception) -> str:
    said = _detail(error, "message") or str(error) or type(error).__name__
    cause = error.__cause__
    return f"{said} ({cause})" if cause is not None and str(cause) and str(cause) not in said else said


async def stream_items(stream: Any) -> AsyncGenerator[Any, None]:
    """What an SDK's stream gives; it is closed with this generator."""
    try:
        while True:
            try:
                # Not `async for`, which would drive it through a generator that nobody closes.
                item = await stream.__anext__()
            except StopAsyncIteration:
                return
            yield item
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await stream.close()
            # The response is closed, but not the generators between it and here. Resumed, they fail and end, rather
            # than being left to the garbage collector, of which trio warns.
            with suppress(Exception):
                while True:
                    await stream.__anext__()


def fit_request(create: Callable[..., Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """A request as arguments of an SDK's method: what the method does not know goes into the body as it is."""
    known = signature(create).parameters
    fitting = {key: value for key, value in request.items() if key in known}
    rest = {key: value for key, value in request.items() if key not in known}
    if rest:
        fitting["extra_body"] = {**rest, **(fitting.get("extra_body") or {})}
    return fitting

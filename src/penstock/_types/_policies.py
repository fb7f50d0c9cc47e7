"""How a node is run: retries and timeouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from ..errors import NodeTimeoutError

__all__ = ["RetryOn", "RetryPolicy", "Timeout", "default_retry_on"]

RetryOn: TypeAlias = type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool]
Timeout: TypeAlias = float | timedelta

# Mistakes in the program, or answers that will be the same next time: trying again only delays the bad news.
_PERMANENT = (
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    RuntimeError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
    OSError,
)


def _http_status(error: Exception) -> int | None:
    """The status of an HTTP error of any client library, read without importing one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def default_retry_on(error: Exception) -> bool:
    """Whether an error is worth another attempt: connection trouble, HTTP 5xx, a node's timeout, and whatever is not a
    plain programming or operating-system error.

    Args:
        error: what the attempt raised.

    Example:
        ```python
        from penstock.types import default_retry_on

        assert default_retry_on(ConnectionResetError())
        assert not default_retry_on(ValueError("wrong argument"))
        ```
    """
    if isinstance(error, (ConnectionError, NodeTimeoutError)):  # neither is like the other OSErrors
        return True
    status = _http_status(error)
    if status is not None:
        return 500 <= status < 600
    return not isinstance(error, _PERMANENT)


class RetryPolicy(NamedTuple):
    """When, how often and how fast a failed node is tried again.

    Attributes:
        initial_interval: seconds before the second attempt.
        backoff_factor: each further wait is this many times the one before.
        max_interval: seconds; no wait is longer (the jitter comes on top).
        max_attempts: attempts in all, the first included.
        jitter: add up to one second at random, so that many runs do not retry in step.
        retry_on: an exception class, several, or a predicate; the default is `default_retry_on`.

    Example:
        ```python
        from penstock.types import RetryPolicy

        policy = RetryPolicy(max_attempts=5, retry_on=ConnectionError)
        assert policy.initial_interval == 0.5
        ```
    """

    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    max_attempts: int = 3
    jitter: bool = True
    retry_on: RetryOn = default_retry_on

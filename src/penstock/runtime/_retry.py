"""Whether a failed attempt is repeated, and when: pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..types import RetryPolicy


def retry_delay(
    policies: Sequence[RetryPolicy], error: Exception, attempt: int, random: Callable[[], float]
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    Args:
        policies: the first whose `retry_on` matches counts.
        error: what the attempt raised.
        attempt: number of that attempt, the first is 1.
        random: gives a number from 0 to 1, for the jitter.

    Example:
        ```python
        from penstock.runtime import retry_delay
        from penstock.types import RetryPolicy

        policy = RetryPolicy(initial_interval=1.0, backoff_factor=2.0, max_attempts=3, jitter=False)
        assert retry_delay([policy], ConnectionError(), 2, random=lambda: 0.0) == 2.0
        assert retry_delay([policy], ConnectionError(), 3, random=lambda: 0.0) is None
        ```
    """
    for policy in policies:
        if _matches(policy, error):
            if attempt >= policy.max_attempts:
                return None
            wait = min(policy.max_interval, policy.initial_interval * policy.backoff_factor ** (attempt - 1))
            return wait + random() if policy.jitter else wait
    return None


def _matches(policy: RetryPolicy, error: Exception) -> bool:
    retry_on = policy.retry_on
    if isinstance(retry_on, type):
        return isinstance(error, retry_on)
    if isinstance(retry_on, Sequence):
        return isinstance(error, tuple(retry_on))
    return bool(retry_on(error))

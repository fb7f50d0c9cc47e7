"""Steps that call steps: again, or another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from random import random
from typing import Any

import anyio
from anyio.abc import TaskGroup

from ..runtime import retry_delay
from ..runtime._spans import relinked
from ..types import RetryPolicy
from ._coerce import as_step
from ._composable import InputT, OutputT
from ._config import Config, add_configs, for_steps
from ._flow import Once, close, read_whole
from ._runnable import Runnable


class _Attempts(Runnable[InputT, OutputT]):
    """Calls steps one after the other until one succeeds."""

    def _step(self, attempt: int) -> Runnable[Any, Any]:
        """The step to call; attempts count from 1."""
        raise NotImplementedError

    def _pause(self, error: Exception, attempt: int) -> float | None:
        """Seconds to wait after a failed attempt before the next; None to give up."""
        raise NotImplementedError

    def _labelled(self, config: Config, attempt: int) -> Config:
        """The config of an attempt."""
        return config

    @property
    def name(self) -> str:
        """What it is called."""
        return self._config.get("run_name") or self._step(1).name

    async def _compute(self, value: Any, config: Config) -> Any:
        config = for_steps(config)
        attempt = 1
        while True:
            try:
                return await self._step(attempt)._call(value, self._labelled(config, attempt))
            except Exception as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise
            await anyio.sleep(pause)
            attempt += 1

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        config = for_steps(config)
        value = await read_whole(source)
        attempt = 1
        while True:
            seen = False
            pieces = self._step(attempt)._pieces(Once(value), self._labelled(config, attempt), group)
            try:
                async for piece in pieces:
                    seen = True
                    yield piece
                return
            except Exception as error:
                pause = None if seen else self._pause(error, attempt)
                if pause is None:
                    raise
            finally:
                await close(pieces)  # noqa: ASYNC102 - shields itself
            await anyio.sleep(pause)
            attempt += 1


class RunnableRetry(_Attempts[InputT, OutputT]):
    """What `Runnable.with_retry` returns."""

    def _pieces(self, source: AsyncIterator[Any], config: Config, group: TaskGroup) -> AsyncGenerator[Any, None]:
        # Where it streams only the attempts are told, as in LangChain.
        return self._transform(source, add_configs(self._config, config), group)

    def __init__(
        self,
        step: Runnable[InputT, OutputT],
        retry_on: tuple[type[BaseException], ...],
        wait: bool,
        attempts: int,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"stop_after_attempt must be a whole number of at least 1, got {attempts!r}")
        self._inner = step
        self._wait = wait
        self._policy = RetryPolicy(
            initial_interval=1.0,
            backoff_factor=2.0,
            max_interval=60.0,
            max_attempts=attempts,
            jitter=True,
            retry_on=lambda error: isinstance(error, retry_on),
        )

    def _step(self, attempt: int) -> Runnable[Any, Any]:
        return self._inner

    def _labelled(self, config: Config, attempt: int) -> Config:
        return config if attempt == 1 else relinked(config, f"retry:attempt:{attempt}")

    def _pause(self, error: Exception, attempt: int) -> float | None:
        pause = retry_delay([self._policy], error, attempt, random)
        return pause if pause is None or self._wait else 0.0


class RunnableWithFallbacks(_Attempts[InputT, OutputT]):
    """What `Runnable.with_fallbacks` returns."""

    def __init__(
        self,
        step: Runnable[InputT, OutputT],
        fallbacks: Sequence[Any],
        exceptions: tuple[type[BaseException], ...],
    ) -> None:
        self._steps = (step, *(as_step(other, "with_fallbacks()") for other in fallbacks))
        self._exceptions = exceptions

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._config.get("run_name") or "RunnableWithFallbacks")

    def _step(self, attempt: int) -> Runnable[Any, Any]:
        return self._steps[attempt - 1]

    def _pause(self, error: Exception, attempt: int) -> float | None:
        return 0.0 if attempt < len(self._steps) and isinstance(error, self._exceptions) else None

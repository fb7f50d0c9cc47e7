"""Steps one after the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from anyio.abc import TaskGroup

from ..runtime._spans import relinked
from ._coerce import as_step
from ._composable import InputT, OutputT
from ._config import Config, for_steps
from ._flow import close
from ._runnable import Runnable


class RunnableSequence(Runnable[InputT, OutputT]):
    """Steps one after the other, each of which gets what the one before gives: what `|` makes.

    Args:
        steps: at least one; sequences among them are taken apart.

    Attributes:
        steps: the steps.

    Raises:
        NotAStepError: one of them is nothing that can be a step.

    Example:
        ```python
        from penstock.runnables import RunnableSequence

        chain = RunnableSequence(str.split, len)
        assert chain.invoke("how many words") == 3
        assert [step.name for step in chain.steps] == ["split", "len"]
        ```
    """

    def __init__(self, *steps: Any) -> None:
        found: list[Runnable[Any, Any]] = []
        for step in steps:
            # One that has settings of its own stays in one piece, and so do its settings.
            if type(step) is RunnableSequence and not step._config:
                found.extend(step.steps)
            else:
                found.append(as_step(step, "a chain"))
        if not found:
            raise ValueError("a chain needs at least one step")
        self.steps: tuple[Runnable[Any, Any], ...] = tuple(found)

    async def _compute(self, value: Any, config: Config) -> Any:
        config = for_steps(config)
        for number, step in enumerate(self.steps, 1):
            value = await step._call(value, relinked(config, f"seq:step:{number}"))
        return value

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        config = for_steps(config)
        opened: list[AsyncGenerator[Any, None]] = []
        for number, step in enumerate(self.steps, 1):
            own = relinked(config, f"seq:step:{number}")
            opened.append(step._pieces(opened[-1] if opened else source, own, group))
        try:
            async for piece in opened[-1]:
                yield piece
        finally:
            await _close_all(opened)  # noqa: ASYNC102 - shields itself

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.steps))


async def _close_all(sources: list[AsyncGenerator[Any, None]]) -> None:
    """Close the last one first, and every one even if another fails."""
    try:
        await close(sources[-1])
    finally:
        if len(sources) > 1:
            await _close_all(sources[:-1])  # noqa: ASYNC102 - shields itself

"""Making a step of whatever can be one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from functools import lru_cache
from importlib import import_module
from reprlib import Repr
from typing import Any

from anyio.abc import TaskGroup

from ..errors import NotAStepError
from ..messages import BaseMessage
from ..runtime._foreign import INTEGRATION, bridge
from ..runtime._spans import callbacks_by_hand, look_around
from ._composable import Composable
from ._config import Config, add_configs
from ._flow import close, read_whole
from ._runnable import Runnable

_short = Repr()
_short.maxstring = _short.maxother = 80


def as_step(value: Any, where: str) -> Runnable[Any, Any]:
    """What `|` and a dict of steps take, as a step.

    Raises:
        NotAStepError: it is nothing of the kind.
    """
    from ._function import RunnableLambda
    from ._parallel import RunnableParallel

    if isinstance(value, Runnable):
        return value
    is_class = inspect.isclass(value)
    if not is_class and callable(getattr(value, "ainvoke", None)):
        return CalledStep(value)
    if isinstance(value, Mapping):
        return RunnableParallel(value)
    if callable(value) and not (is_class and hasattr(value, "ainvoke")):
        return RunnableLambda(value)
    advice = ""
    if is_class:
        advice = "; this is a class: make an instance of it"
    elif callable(getattr(value, "compile", None)):
        advice = "; call its compile() first"
    raise NotAStepError(
        f"{where} got {_short.repr(value)} ({type(value).__name__}) as a step; expected a prompt, a model, a parser, a "
        f"tool, a compiled graph, a function, or a dict of these{advice}"
    )


class CalledStep(Runnable[Any, Any]):
    """A model, a tool, a graph, or anything else with `ainvoke`, LangChain's objects among them."""

    def __init__(self, target: Any) -> None:
        self.target = target
        cls: Any = type(target)
        self._streams = callable(getattr(cls, "astream", None))
        # A graph shows its state as it grows: each replaces the one before, and the last one is the output.
        self._options = {"stream_mode": "values"} if self._streams and _has_modes(cls) else {}
        self._ours = isinstance(target, Composable) or cls.__module__.partition(".")[0] == "penstock"
        self._langchain = not self._ours and any(c.__module__.startswith("langchain") for c in cls.__mro__)

    @property
    def name(self) -> str:
        """What it is called."""
        own = getattr(self.target, "name", None)
        return self._config.get("run_name") or (own if isinstance(own, str) else type(self.target).__name__)

    # It tells of itself, with what it knows better.

    def _call(self, value: Any, config: Config) -> Awaitable[Any]:
        return self._compute(value, add_configs(self._config, config))

    def _pieces(self, source: AsyncIterator[Any], config: Config, group: TaskGroup) -> AsyncGenerator[Any, None]:
        return self._transform(source, add_configs(self._config, config), group)

    async def _compute(self, value: Any, config: Config) -> Any:
        return await self.target.ainvoke(self._read(value), self._given(config))

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        value = self._read(await read_whole(source))
        if not self._streams:
            yield await self.target.ainvoke(value, self._given(config))
            return
        stream = self.target.astream(value, self._given(config), **self._options)
        try:
            async for piece in stream:
                yield piece
        finally:
            await close(stream)  # noqa: ASYNC102 - shields itself

    def _given(self, config: Config) -> Any:
        given = dict(config)
        if not self._ours and "callbacks" in given:
            given["callbacks"] = callbacks_by_hand(look_around(given["callbacks"]))
        return given or None

    def _read(self, value: Any) -> Any:
        if not self._langchain:
            return value
        bridge()
        if isinstance(value, BaseMessage):
            # By name: the integration stands on a floor above.
            return import_module(f"{INTEGRATION}._messages").as_langchain(value)
        to_messages = getattr(value, "to_messages", None)
        return to_messages() if callable(to_messages) else value

    def __repr__(self) -> str:
        return repr(self.target)


@lru_cache(maxsize=256)
def _has_modes(cls: type[Any]) -> bool:
    try:
        return "stream_mode" in inspect.signature(cls.astream).parameters
    except (TypeError, ValueError):
        return False

"""Steps that run at the same time, and steps that pass on what they get."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from ..errors import NotAStepError
from ..runtime._spans import relinked
from ._coerce import as_step
from ._composable import InputT
from ._config import Config, for_steps
from ._flow import Pieces, add_up, at_once, close
from ._function import RunnableLambda
from ._runnable import Runnable


class RunnableParallel(Runnable[InputT, dict[str, Any]]):
    """Steps that get the same input and run at the same time: what a dict in a chain becomes.

    When one fails the others are cancelled, and its error is raised as itself. A stream gives dicts with a piece of
    one key each, as they come.

    Args:
        steps: the steps by name.
        more: steps by name, likewise.

    Attributes:
        steps: the steps by name.

    Raises:
        NotAStepError: one of them is nothing that can be a step.
        ValueError: there is none.

    Example:
        ```python
        from penstock.runnables import RunnableParallel

        both = RunnableParallel(words=str.split, length=len)
        assert both.invoke("ab c") == {"words": ["ab", "c"], "length": 4}
        ```
    """

    def __init__(self, steps: Mapping[str, Any] | None = None, **more: Any) -> None:
        named = {**(steps or {}), **more}
        if not named:
            raise ValueError("a parallel step needs at least one step, as in {'name': step}")
        self.steps: Mapping[str, Runnable[Any, Any]] = {
            name: as_step(step, f"the key {name!r}") for name, step in named.items()
        }

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._config.get("run_name") or f"RunnableParallel<{','.join(self.steps)}>")

    async def _compute(self, value: Any, config: Config) -> Any:
        inner = for_steps(config)
        calls = [partial(step._call, value, relinked(inner, f"map:key:{name}")) for name, step in self.steps.items()]
        results = await at_once(calls, limit=config.get("max_concurrency"))
        return dict(zip(self.steps, results, strict=True))

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        pieces = _Branches(self.steps, for_steps(config), group).run(source)
        try:
            async for name, piece in pieces:
                yield Pieces({name: piece})
        finally:
            await close(pieces)  # noqa: ASYNC102 - shields itself

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: {step!r}" for name, step in self.steps.items()) + "}"


class RunnablePassthrough(Runnable[InputT, InputT]):
    """Passes on what it gets: for a key of a dict that is to have the input itself.

    Args:
        func: a function, plain or async, that is told the whole input, and whose result does not matter.

    Example:
        ```python
        from penstock.runnables import RunnablePassthrough

        chain = {"question": RunnablePassthrough()} | RunnablePassthrough.assign(length=lambda d: len(d["question"]))
        assert chain.invoke("why?") == {"question": "why?", "length": 4}
        ```
    """

    def __init__(self, func: Callable[[InputT], Any] | None = None) -> None:
        self._told: RunnableLambda[InputT, Any] | None = None if func is None else RunnableLambda(func)

    @staticmethod
    def assign(**steps: Any) -> RunnableAssign:
        """A step that adds keys to the dict it gets.

        Args:
            steps: what makes the values, of the whole dict; they run at the same time.

        Raises:
            NotAStepError: one of them is nothing that can be a step.
        """
        return RunnableAssign(RunnableParallel(steps))

    async def _compute(self, value: Any, config: Config) -> Any:
        if self._told is not None:
            await self._told._run(value, for_steps(config))
        else:
            await anyio.lowlevel.checkpoint()
        return value

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        pieces: list[Any] = []
        async for piece in source:
            if self._told is not None:
                pieces.append(piece)
            yield piece
        if self._told is not None:
            await self._told._run(add_up(pieces), for_steps(config))


class _Given(RunnablePassthrough[Any]):
    """The input itself, which is no step of the user's."""

    def _pieces(self, source: AsyncIterator[Any], config: Config, group: TaskGroup) -> AsyncGenerator[Any, None]:
        return self._transform(source, config, group)


# The two branches of a step that adds keys.
_GIVEN: Any = object()
_ADDED: Any = object()


class RunnableAssign(Runnable[Mapping[str, Any], dict[str, Any]]):
    """What `RunnablePassthrough.assign` returns."""

    def __init__(self, added: RunnableParallel[Any]) -> None:
        self._added = added

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._config.get("run_name") or f"RunnableAssign<{','.join(self._added.steps)}>")

    async def _compute(self, value: Any, config: Config) -> Any:
        _check_mapping(value)
        return {**value, **await self._added._call(value, for_steps(config))}

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        added = self._added.steps
        pieces = _Branches({_GIVEN: _Given(), _ADDED: self._added}, for_steps(config), group).run(source)
        try:
            async for name, piece in pieces:
                if name is _ADDED:
                    yield piece
                    continue
                _check_mapping(piece)
                kept = Pieces({key: part for key, part in piece.items() if key not in added})
                if kept:
                    yield kept
        finally:
            await close(pieces)  # noqa: ASYNC102 - shields itself

    def __repr__(self) -> str:
        return f"RunnablePassthrough.assign({self._added!r})"


def _check_mapping(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise NotAStepError(
            f"RunnablePassthrough.assign() got {value!r} ({type(value).__name__}); expected a dict to add its keys to"
        )


class _Branches:
    """Steps that stream at the same time: a task for each, and one that hands the input's pieces to all of them.

    Nothing is buffered beyond one piece per branch: the slowest reader holds up the source.
    """

    def __init__(self, steps: Mapping[Any, Runnable[Any, Any]], config: Config, group: TaskGroup) -> None:
        self._steps = steps
        self._config = config
        self._group = group
        self._scopes: list[anyio.CancelScope] = []
        self._running = 0
        self._idle = anyio.Event()
        self._failed: list[BaseException] = []

    async def run(self, source: AsyncIterator[Any]) -> AsyncGenerator[tuple[Any, Any], None]:
        """The pieces of all branches, each with the name of its branch, as they come."""
        output, merged = anyio.create_memory_object_stream[tuple[Any, Any]](0)
        inputs: list[MemoryObjectSendStream[Any]] = []
        for name, step in self._steps.items():
            send, receive = anyio.create_memory_object_stream[Any](1)
            inputs.append(send)
            self._start(self._branch, name, step, receive, output.clone())
        output.close()
        self._start(self._feed, source, inputs)
        try:
            async for item in merged:
                yield item
        finally:
            merged.close()
            await self._end()  # noqa: ASYNC102 - shields itself
        if self._failed:
            try:
                raise self._failed[0]
            finally:
                self._failed.clear()

    def _start(self, task: Callable[..., Any], *args: Any) -> None:
        scope = anyio.CancelScope()
        self._scopes.append(scope)
        self._running += 1
        self._group.start_soon(self._guard, scope, task, *args)

    async def _guard(self, scope: anyio.CancelScope, task: Callable[..., Any], *args: Any) -> None:
        """One task: its error is kept and ends the others."""
        try:
            with scope:
                await task(*args)
        except anyio.get_cancelled_exc_class():
            self._stop()
            raise
        except BaseException as error:  # noqa: ASYNC103 - raised by `run`
            self._failed.append(error)
            self._stop()
        finally:
            for stream in args:
                if isinstance(stream, (MemoryObjectSendStream, MemoryObjectReceiveStream)):
                    stream.close()
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _branch(
        self,
        name: Any,
        step: Runnable[Any, Any],
        received: MemoryObjectReceiveStream[Any],
        output: MemoryObjectSendStream[tuple[Any, Any]],
    ) -> None:
        source = _read(received)
        config = relinked(self._config, f"map:key:{name}") if isinstance(name, str) else self._config
        pieces = step._pieces(source, config, self._group)
        try:
            async for piece in pieces:
                await output.send((name, piece))
        finally:
            await close(pieces)  # noqa: ASYNC102 - shields itself
            await close(source)  # noqa: ASYNC102 - shields itself

    async def _feed(self, source: AsyncIterator[Any], inputs: list[MemoryObjectSendStream[Any]]) -> None:
        try:
            async for piece in source:
                for branch in list(inputs):
                    try:
                        await branch.send(piece)
                    except anyio.BrokenResourceError:  # it needs no more
                        branch.close()
                        inputs.remove(branch)
        finally:
            for branch in inputs:
                branch.close()
            # By the task that has driven it.
            await close(source)  # noqa: ASYNC102 - shields itself

    def _stop(self) -> None:
        """Cancel all branches."""
        for scope in self._scopes:
            scope.cancel()

    async def _end(self) -> None:
        """Cancel all branches and wait until they have ended."""
        self._stop()
        cancelled = anyio.get_cancelled_exc_class()  # noqa: ASYNC118 - used within one loop only
        native: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while self._running:
                try:
                    await self._idle.wait()
                except cancelled as raised:
                    native = raised
        if native is not None:
            try:
                raise native
            finally:
                del native


async def _read(received: MemoryObjectReceiveStream[Any]) -> AsyncIterator[Any]:
    async for piece in received:
        yield piece

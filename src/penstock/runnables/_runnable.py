"""`Runnable`: a step of a chain, and all ways to call it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from anyio.abc import TaskGroup
from typing_extensions import Self, Unpack

from ..runtime import RunStream, SpanKind
from ..runtime._blocking import BlockingIterator, run_blocking
from ..runtime._events import EventOptions
from ..runtime._spans import linked, look_around, open_span
from ..runtime._work import stream_events
from ..types import StreamEvent
from ._composable import Composable, InputT, OutputT
from ._config import NOTHING, Config, add_configs, check_config, for_steps
from ._flow import Once, add_up, at_once, close, read_whole
from ._observed import compute_observed, pieces_observed
from ._stream import ChainStream, relay

if TYPE_CHECKING:
    from ._again import RunnableRetry, RunnableWithFallbacks


class Runnable(Composable[InputT, OutputT], ABC):
    """A step of a chain, or a chain: something that makes an output of an input, at once or piece by piece.

    It is made by composing with `|`, or is a prompt, a parser or a wrapped function. It never changes: methods whose
    names begin with `with_` return another one. It is callable, so that it can be a node of a graph.

    Attributes:
        name: what it is called: its `run_name`, if it has one.

    Example:
        ```python
        from penstock.runnables import RunnableLambda

        double = RunnableLambda(lambda n: n * 2)
        chain = double | str
        assert chain.invoke(21) == "42"
        assert chain.batch([1, 2, 3]) == ["2", "4", "6"]
        ```
    """

    _config: Config = NOTHING
    # What it is to observers; and whether it works piece by piece, or needs its whole input first.
    _kind: ClassVar[SpanKind] = "chain"
    _streams: bool = True

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._config.get("run_name") or type(self).__qualname__)

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.name

    # ---------------------------------------------------------------- what each kind of step says

    @abstractmethod
    async def _compute(self, value: Any, config: Config) -> Any:
        """The whole output for the whole input."""

    async def _transform(
        self, source: AsyncIterator[Any], config: Config, group: TaskGroup
    ) -> AsyncGenerator[Any, None]:
        """The output piece by piece, of the pieces of the input. A step that cannot stream waits for all of them.

        Driven and closed by one task; what runs beside it does so in `group`. Whoever made the source closes it.
        """
        yield await self._compute(await read_whole(source), config)

    def _call(self, value: Any, config: Config) -> Awaitable[Any]:
        """The whole output, told to whoever observes."""
        config = add_configs(self._config, config)
        around = look_around(config.get("callbacks"))
        if around.observers or config:
            return compute_observed(self, value, config, around)
        return self._compute(value, config)

    def _pieces(self, source: AsyncIterator[Any], config: Config, group: TaskGroup) -> AsyncGenerator[Any, None]:
        """The output piece by piece, likewise."""
        config = add_configs(self._config, config)
        around = look_around(config.get("callbacks"))
        if around.observers:
            return pieces_observed(self, source, config, group, around)
        span = open_span(self._kind, self.name, config, around=around) if config else None
        return self._transform(source, config if span is None else linked(for_steps(config), span), group)

    # ---------------------------------------------------------------- calling

    async def ainvoke(self, input: InputT, config: Config | None = None) -> OutputT:
        """The whole output.

        Args:
            input: what the first step takes.
            config: settings of this call and of all that its steps call: `tags` and `metadata` are added to those of
                the node around it.

        Returns:
            What the last step gives.

        Raises:
            Exception: whatever a step raised, as itself.
        """
        return await self._call(input, check_config(config))  # type: ignore[no-any-return]

    def astream(self, input: InputT, config: Config | None = None) -> ChainStream[OutputT]:
        """The output, piece by piece.

        Pieces flow through models, parsers, generator functions and parallel steps; any other step waits for its
        whole input. Pieces of text, lists, messages and of dicts of a parallel step add up to the output; of anything
        else each piece replaces the one before.

        Args:
            input: as for :meth:`ainvoke`.
            config: as for :meth:`ainvoke`.

        Returns:
            An async iterator. Leave it early inside `async with`, so that everything has ended then.

        Raises:
            Exception: whatever a step raised, as itself.
        """
        checked = check_config(config)

        async def pieces(group: TaskGroup) -> AsyncGenerator[OutputT, None]:
            source = self._pieces(Once(input), checked, group)
            try:
                async for piece in source:
                    yield piece
            finally:
                await close(source)  # noqa: ASYNC102 - shields itself

        return ChainStream(pieces)

    def invoke(self, input: InputT, config: Config | None = None) -> OutputT:
        """The whole output, for code that does not await. See :meth:`ainvoke`."""
        return run_blocking(lambda: self.ainvoke(input, config))

    def stream(self, input: InputT, config: Config | None = None) -> BlockingIterator[OutputT]:
        """The output, piece by piece, for code that does not await. See :meth:`astream`.

        Leaving the loop ends the call; `close()` or a `with` statement waits for that.
        """
        checked = check_config(config)
        return BlockingIterator(lambda: relay(self.astream(input, checked)))

    def astream_events(
        self,
        input: InputT,
        config: Config | None = None,
        *,
        version: Literal["v2"] = "v2",
        **options: Unpack[EventOptions],
    ) -> RunStream[StreamEvent]:
        """Call it piece by piece, as :meth:`astream` does, and stream what goes on inside, in all its steps.

        Args:
            input: what the first step takes.
            config: as for :meth:`ainvoke`.
            version: there is only "v2".
            options: which events are wanted (`include_names`, `include_types`, `include_tags`, `exclude_names`,
                `exclude_types`, `exclude_tags`), and how many may be unread (`high_water_mark`): see
                :class:`penstock.runtime.EventOptions`.

        Returns:
            A stream of events: iterate it, or enter it with `async with` first. Leaving it ends the call.

        Raises:
            ValueError: there is no such version or type.

        Example:
            ```python
            from penstock.runnables import ChatPromptTemplate, StrOutputParser
            from penstock.testing import ScriptedChatModel

            model = ScriptedChatModel([["Cats ", "sleep"]], cycle=True)
            chain = ChatPromptTemplate.from_template("{topic}?") | model | StrOutputParser()
            events = chain.astream_events({"topic": "cats"}, version="v2", include_types=["chat_model"])
            assert [e["data"]["chunk"].text async for e in events if "chunk" in e["data"]] == ["Cats ", "sleep", ""]
            ```
        """

        async def read(given: Config) -> Any:
            async with self.astream(input, given) as pieces:
                return add_up([piece async for piece in pieces])

        return stream_events(
            self.name,
            read,
            input,
            check_config(config),
            version=version,
            options=options,
        )

    async def abatch(
        self,
        inputs: Iterable[InputT],
        config: Config | Sequence[Config] | None = None,
        *,
        return_exceptions: bool = False,
        max_concurrency: int | None = None,
    ) -> list[Any]:
        """Outputs for several inputs, worked on at the same time, beginning with the first.

        Args:
            inputs: the inputs.
            config: for all of them, or a list of one for each.
            return_exceptions: put an error in the place of its output; otherwise the first one cancels the other
                calls and is raised.
            max_concurrency: how many are worked on at a time; may also stand in the config.

        Returns:
            The outputs, in the order of the inputs.

        Raises:
            ValueError: there are more or fewer configs than inputs.
        """
        asked = list(inputs)
        configs: list[Any] = list(config) if isinstance(config, (list, tuple)) else [config] * len(asked)
        if len(configs) != len(asked):
            raise ValueError(
                f"got {len(configs)} configs for {len(asked)} inputs; expected one for each, or one for all"
            )
        limited: Config = {} if max_concurrency is None else {"max_concurrency": max_concurrency}
        checked = [check_config(add_configs(each or NOTHING, limited)) for each in configs]
        limits = [limit for each in checked if (limit := each.get("max_concurrency"))]
        calls = [partial(self._call, one, each) for one, each in zip(asked, checked, strict=True)]
        return await at_once(calls, limit=min(limits, default=None), return_exceptions=return_exceptions)

    def batch(
        self,
        inputs: Iterable[InputT],
        config: Config | Sequence[Config] | None = None,
        *,
        return_exceptions: bool = False,
        max_concurrency: int | None = None,
    ) -> list[Any]:
        """Outputs for several inputs, for code that does not await. See :meth:`abatch`."""
        asked = list(inputs)
        return run_blocking(
            lambda: self.abatch(asked, config, return_exceptions=return_exceptions, max_concurrency=max_concurrency)
        )

    async def __call__(self, input: Any) -> Any:
        """What a graph calls when this is a node: :meth:`ainvoke`, with the config of the node."""
        return await self._call(input, NOTHING)

    # ---------------------------------------------------------------- making others of it

    def with_config(
        self,
        config: Config | None = None,
        *,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Self:
        """This one with settings for every call.

        Args:
            config: a dict of settings.
            tags: labels for what runs inside; added to those it has.
            metadata: added to what the tokens of models inside say of themselves.
            run_name: its name, also as a node of a graph.

        Example:
            ```python
            from penstock.runnables import RunnableLambda

            def tags(value, config):
                return config["tags"]

            step = RunnableLambda(tags).with_config(tags=["joke"], run_name="teller")
            assert step.name == "teller"
            assert step.invoke(1, {"tags": ["new"]}) == ["joke", "new"]
            ```
        """
        more: dict[str, Any] = {"metadata": metadata, "run_name": run_name}
        more["tags"] = tags if tags is None or isinstance(tags, str) else list(tags)
        given = {key: value for key, value in more.items() if value is not None}
        new = copy.copy(self)
        new._config = add_configs(self._config, add_configs(check_config(config), check_config(given)))
        return new

    def with_retry(
        self,
        *,
        retry_if_exception_type: tuple[type[BaseException], ...] = (Exception,),
        wait_exponential_jitter: bool = True,
        stop_after_attempt: int = 3,
    ) -> RunnableRetry[InputT, OutputT]:
        """This one, called again when it fails.

        A stream is begun again only as long as none of its pieces has been seen.

        Args:
            retry_if_exception_type: errors to try again after.
            wait_exponential_jitter: wait a second, two, four, ... up to a minute, and up to a second more; otherwise
                try again at once.
            stop_after_attempt: how many attempts there are, at least 1.

        Example:
            ```python
            from penstock.runnables import RunnableLambda

            attempts = []

            def shaky(value):
                attempts.append(value)
                if len(attempts) < 3:
                    raise ConnectionError("lost")
                return "done"

            assert RunnableLambda(shaky).with_retry(wait_exponential_jitter=False).invoke(1) == "done"
            assert attempts == [1, 1, 1]
            ```
        """
        from ._again import RunnableRetry

        return RunnableRetry(self, retry_if_exception_type, wait_exponential_jitter, stop_after_attempt)

    def with_fallbacks(
        self,
        fallbacks: Sequence[Any],
        *,
        exceptions_to_handle: tuple[type[BaseException], ...] = (Exception,),
    ) -> RunnableWithFallbacks[InputT, OutputT]:
        """This one, replaced for a call by another one when it fails.

        A stream changes over only as long as none of its pieces has been seen.

        Args:
            fallbacks: steps to call in turn.
            exceptions_to_handle: errors after which the next one is called.

        Raises:
            NotAStepError: one of them is nothing that can be a step.

        Example:
            ```python
            from penstock.runnables import RunnableLambda

            number = RunnableLambda(int).with_fallbacks([float, lambda text: None])
            assert number.batch(["1", "1.5", "one"]) == [1, 1.5, None]
            ```
        """
        from ._again import RunnableWithFallbacks

        return RunnableWithFallbacks(self, fallbacks, exceptions_to_handle)

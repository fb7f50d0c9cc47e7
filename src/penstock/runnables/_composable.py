"""`Composable`: what has the operator `|`. It imports nothing, for graphs have it and load no chain for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from ._runnable import Runnable

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
NextT = TypeVar("NextT")


class Composable(Generic[InputT, OutputT]):
    """Whatever `|` makes a chain of: a base class that has nothing but that operator.

    Beside one of these, a step may also be a function, plain, async or a generator; a dict of steps, which run at the
    same time; or an object with `ainvoke`, such as LangChain's.

    Example:
        ```python
        from penstock.runnables import RunnableSequence
        from penstock.testing import ScriptedChatModel

        chain = ScriptedChatModel(["Four"]) | (lambda answer: answer.text.upper())
        assert isinstance(chain, RunnableSequence)
        assert chain.invoke("2 + 2?") == "FOUR"
        ```
    """

    __slots__ = ()

    @overload
    def __or__(self, other: Composable[Any, NextT]) -> Runnable[InputT, NextT]: ...
    @overload
    def __or__(self, other: Mapping[str, Any]) -> Runnable[InputT, dict[str, Any]]: ...
    @overload
    def __or__(self, other: Callable[[Any], AsyncIterator[NextT]]) -> Runnable[InputT, NextT]: ...
    @overload
    def __or__(self, other: Callable[[Any], Awaitable[NextT]]) -> Runnable[InputT, NextT]: ...
    @overload
    def __or__(self, other: Callable[[Any], NextT]) -> Runnable[InputT, NextT]: ...
    @overload
    def __or__(self, other: Any) -> Runnable[InputT, Any]: ...
    def __or__(self, other: Any) -> Runnable[InputT, Any]:
        """This step, and then another one.

        Args:
            other: the step that gets what this one gives.

        Raises:
            NotAStepError: it is nothing that can be a step; it is a `TypeError`.
        """
        from ._sequence import RunnableSequence

        return RunnableSequence(self, other)

    @overload
    def __ror__(self, other: Mapping[str, Any]) -> Runnable[Any, OutputT]: ...
    @overload
    def __ror__(self, other: Callable[[NextT], Any]) -> Runnable[NextT, OutputT]: ...
    @overload
    def __ror__(self, other: Any) -> Runnable[Any, OutputT]: ...
    def __ror__(self, other: Any) -> Runnable[Any, OutputT]:
        """A dict or a function, and then this step.

        Args:
            other: the step that gives this one its input.

        Raises:
            NotAStepError: it is nothing that can be a step; it is a `TypeError`.
        """
        from ._sequence import RunnableSequence

        return RunnableSequence(other, self)

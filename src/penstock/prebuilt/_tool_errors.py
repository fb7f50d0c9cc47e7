"""What becomes of an error in a tool: the run's failure, or an answer that the model can react to."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from ..errors import ToolArgumentsError, ToolDefinitionError

ErrorHandling: TypeAlias = bool | str | Callable[[Any], Any] | type[Exception] | tuple[type[Exception], ...]
"""Which errors are told to the model, and how."""


def tell_wrong_arguments(error: ToolArgumentsError) -> str:
    """What `ToolNode` does by default: the model learns what is wrong with its arguments, other errors are raised."""
    return str(error)


class ErrorPolicy:
    """Decides about errors.

    Args:
        handling: True or False for all errors or none; a text to tell in any case; the exception types to tell of; or
            a function of the error that returns what to tell, and whose annotation says which errors it takes.

    Raises:
        ToolDefinitionError: it is none of these.
    """

    def __init__(self, handling: Any) -> None:
        self._tell: Callable[[Any], Any] = _describe
        self._types: tuple[type[Exception], ...] = (Exception,)
        if handling is False:
            self._types = ()
        elif isinstance(handling, str):
            text = handling
            self._tell = lambda error: text
        elif _is_error_type(handling):
            self._types = (handling,)
        elif isinstance(handling, tuple) and all(map(_is_error_type, handling)):
            self._types = handling
        elif callable(handling) and not isinstance(handling, type):
            self._tell, self._types = handling, _handled_types(handling)
        elif handling is not True:
            raise ToolDefinitionError(
                "handle_tool_errors must be True, False, a text, an exception type, a tuple of these, or a function "
                f"of the error; got {handling!r}"
            )

    def tells(self, error: Exception) -> bool:
        """Whether the model is told of an error, and the run goes on."""
        return isinstance(error, self._types)

    def tell(self, error: Exception) -> Any:
        """What the model is told."""
        return self._tell(error)


def _is_error_type(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, ToolArgumentsError) else f"Error: {error!r}\nCorrect the call and try again."


def _handled_types(handler: Any) -> tuple[type[Exception], ...]:
    """The exception types that the first parameter of a function is annotated with; any, if it is not."""
    try:
        parameters = list(inspect.signature(handler).parameters.values())
        hints = get_type_hints(handler if inspect.isroutine(handler) else handler.__call__)
    except (ValueError, TypeError, NameError):
        return (Exception,)
    hint = hints.get(parameters[0].name) if parameters else None
    if hint is None or hint is Any:
        return (Exception,)
    union = get_origin(hint) in (Union, types.UnionType)
    handled = get_args(hint) if union else (hint,)
    if all(map(_is_error_type, handled)):
        return tuple(handled)
    raise ToolDefinitionError(
        f"the parameter of an error handler must be annotated with exception types, got {hint!r} in {handler!r}"
    )

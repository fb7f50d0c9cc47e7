"""What a function wants: how to call it, which parameters the run fills in, which schema it reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from ..errors import GraphBuildError, nearest
from ..runtime._program import Body, BodyKind
from ._schema import schema_of_hint

# Parameter name -> how an attempt provides it.
_PROVIDERS: dict[str, Callable[[Any], Any]] = {
    "config": lambda attempt: attempt.config(),
    "writer": lambda attempt: attempt.writer,
    "runtime": lambda attempt: attempt.runtime,
    "error": lambda attempt: attempt.error,
}


@dataclass(frozen=True)
class Signature:
    """What is known of a node's or router's function.

    Attributes:
        kind: how to call it.
        body: calls it with the node's input, and the arguments it asks for by name.
        input_type: schema its first parameter is annotated with, if it is.
        output_type: schema it is annotated to return, if it is.
        returns: its return annotation, or None.
    """

    kind: BodyKind
    body: Body
    input_type: Any
    output_type: Any
    returns: Any


def function_name(function: Any) -> str | None:
    """The name a function goes by: of what a partial wraps, or of a callable object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if name is None and not isinstance(function, type):
        name = type(function).__name__
    return name if name != "<lambda>" else None


def read_function(function: Any, where: str, *, handles_error: bool = False) -> Signature:
    """Find out how to call a function.

    Args:
        function: a function of any kind, a method, a partial, or a callable object.
        where: for messages.
        handles_error: whether it may ask for `error`.

    Raises:
        GraphBuildError: it cannot be called, or not with what a run can provide.
    """
    if not callable(function):
        advice = "; call its compile() first" if callable(getattr(function, "compile", None)) else ""
        raise GraphBuildError(f"{where} must be a function or a compiled graph, got {function!r}{advice}")
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    if not (inspect.isroutine(inner) or inspect.isclass(inner)):
        inner = inner.__call__  # a callable object
    hints = _hints(inner)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # a built-in that does not say: it gets the input only
        return Signature(BodyKind.SYNC, lambda value, _attempt: function(value), None, None, None)
    takes_input, wanted = _wanted(parameters, hints, where, handles_error)
    first = parameters[0].name if takes_input else None
    returns = hints.get("return")
    return Signature(
        kind=_kind(inner),
        body=_body(function, takes_input, wanted),
        input_type=schema_of_hint(hints.get(first)) if first is not None else None,
        output_type=schema_of_hint(returns),
        returns=returns,
    )


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception:  # a name only a type checker knows: the function is no worse for it
        return {}


def _kind(function: Any) -> BodyKind:
    if inspect.iscoroutinefunction(function):
        return BodyKind.ASYNC
    if inspect.isasyncgenfunction(function):
        return BodyKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(function):
        return BodyKind.GENERATOR
    return BodyKind.SYNC


def _wanted(
    parameters: list[inspect.Parameter], hints: dict[str, Any], where: str, handles_error: bool
) -> tuple[bool, tuple[str, ...]]:
    """Whether the function takes the input, and the names of what else it takes."""
    takes_input = bool(parameters) and parameters[0].kind not in (
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    )
    if handles_error and takes_input and parameters[0].name == "error":  # a handler that wants nothing else
        takes_input = False
    offered = [n for n in _PROVIDERS if n != "error" or handles_error]
    wanted = []
    for parameter in parameters[1:] if takes_input else parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        name = parameter.name
        annotation = hints.get(name, parameter.annotation)
        if name in offered and _compatible(name, annotation):
            wanted.append(name)
        elif parameter.default is parameter.empty:
            problem = f"{where}: nothing fills its parameter {name!r}"
            if name in offered:
                raise GraphBuildError(f"{problem}: what a run provides by that name is no {annotation!r}")
            raise GraphBuildError(
                f"{problem}; {nearest(name, offered)}, besides the state (give others a default, or bind them with "
                "functools.partial)"
            )
    return takes_input, tuple(wanted)


# What the name of a fitting annotation contains; LangChain's and LangGraph's own types are recognised by name.
_FITTING: dict[str, tuple[str, ...]] = {
    "config": ("Config", "Mapping", "dict"),
    "writer": ("Writer", "Callable"),
    "runtime": ("Runtime",),
    "error": ("Error", "Exception"),
}


def _compatible(name: str, annotation: Any) -> bool:
    """Whether a parameter of a known name also has a type that fits; without an annotation it does."""
    if annotation is inspect.Parameter.empty or annotation is Any:
        return True
    text = annotation if isinstance(annotation, str) else f"{getattr(annotation, '__name__', '')} {annotation}"
    return any(part in text for part in _FITTING[name])


def _body(function: Any, takes_input: bool, wanted: tuple[str, ...]) -> Body:
    if not wanted:
        return (lambda value, _attempt: function(value)) if takes_input else (lambda _value, _attempt: function())
    providers = tuple((name, _PROVIDERS[name]) for name in wanted)

    def call(value: Any, attempt: Any) -> Any:
        arguments = {name: provide(attempt) for name, provide in providers}
        return function(value, **arguments) if takes_input else function(**arguments)

    return call

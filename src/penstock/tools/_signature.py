"""What a function wants: which arguments the model writes, and which the run fills in."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from .._shapes import (
    BAD,
    Definitions,
    Field,
    Record,
    Schema,
    Shape,
    Shapes,
    as_json,
    description_in,
    function_hints,
    got,
    is_field_info,
    take_apart,
)
from ..errors import ToolArgumentsError, ToolDefinitionError
from ._injection import Injection, find_injection


@dataclass(frozen=True)
class Signature:
    """How to call a tool's function.

    Attributes:
        schema: the JSON schema of what the model writes.
        read: turns what the model wrote into keyword arguments; raises `ToolArgumentsError`.
        injections: the parameters that the run fills in.
        names: the parameters that the model may write.
    """

    schema: Schema
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    injections: tuple[Injection, ...]
    names: tuple[str, ...]


def innermost(function: Any) -> Any:
    """The function that runs: of what a partial wraps, of a callable object its `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else function.__call__


def read_function(function: Any, tool: str, docs: Mapping[str, str], args_schema: Any) -> Signature:
    """Find out how to call a function.

    Args:
        function: a function, a method, a partial, or a callable object.
        tool: name of the tool.
        docs: descriptions of parameters from the docstring.
        args_schema: what the model is to write, if the signature does not say; a schema class or a JSON schema.

    Raises:
        ToolDefinitionError: a model cannot call it.
    """
    hints = function_hints(innermost(function))
    own = _parameters(function, tool, hints, takes_any=args_schema is not None)
    injections = tuple(i for p in own if (i := find_injection(p, hints.get(p.name, p.empty))) is not None)
    hidden = {injection.name for injection in injections}
    written = [p for p in own if p.name not in hidden]
    shapes = Shapes(f"tool {tool!r}")
    if args_schema is not None:
        return _with_schema(args_schema, tool, shapes, function, injections)
    fields = [_field(p, hints.get(p.name, p.empty), shapes, docs) for p in written]
    record = Record(tool, fields)
    return Signature(_schema(record), _reader(tool, record), injections, tuple(p.name for p in written))


def _parameters(function: Any, tool: str, hints: Mapping[str, Any], *, takes_any: bool) -> Sequence[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as error:
        raise ToolDefinitionError(
            f"tool {tool!r}: {function!r} does not say which parameters it has; wrap it in a function that does"
        ) from error
    bound = function.keywords if isinstance(function, functools.partial) else {}
    kept: list[inspect.Parameter] = []
    for parameter in parameters:
        if parameter.name in bound:
            continue  # a partial has decided about it
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if takes_any and parameter.kind is parameter.VAR_KEYWORD:
                continue
            raise ToolDefinitionError(
                f"tool {tool!r}: a model cannot know what to write for {parameter}; name every parameter"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ToolDefinitionError(
                f"tool {tool!r}: parameter {parameter.name!r} is positional-only, and a model gives arguments by name"
            )
        if parameter.name == "self" and not kept and "self" not in hints:
            raise ToolDefinitionError(
                f"tool {tool!r} is a method without its object; make a tool of the bound method: tool(thing.method)"
            )
        kept.append(parameter)
    return kept


def _field(parameter: inspect.Parameter, hint: Any, shapes: Shapes, docs: Mapping[str, str]) -> Field:
    default = parameter.default
    make_default: Callable[[], Any] | None = None
    if is_field_info(default):
        field_info = default
        hint = Annotated[Any if hint is parameter.empty else hint, default]
        required = default.is_required()
        if not required:
            make_default = functools.partial(field_info.get_default, call_default_factory=True)
        default = parameter.empty if make_default is None else make_default()
    shape = shapes.shape(hint, f"parameter {parameter.name!r}")
    return Field(
        parameter.name,
        shape,
        required=default is parameter.empty,
        description=description_in(take_apart(hint)[1]) or docs.get(parameter.name),
        default=BAD if default is parameter.empty else as_json(default),
        make_default=make_default,
    )


def _schema(shape: Shape) -> Schema:
    definitions = Definitions()
    out = shape.plain_schema(definitions) if isinstance(shape, Record) else shape.schema(definitions)
    return {**out, "$defs": definitions.named} if definitions.named else out


def _reader(tool: str, record: Record) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    def read(args: Mapping[str, Any]) -> dict[str, Any]:
        problems: list[str] = []
        values = record.read_fields(args, "", problems, True)
        if problems:
            raise ToolArgumentsError(tool, problems)
        return values

    return read


def _with_schema(
    args_schema: Any, tool: str, shapes: Shapes, function: Any, injections: tuple[Injection, ...]
) -> Signature:
    if isinstance(args_schema, Mapping):
        return _with_json_schema(args_schema, tool, injections)
    shape = shapes.shape(args_schema, "args_schema")
    schema = _schema(shape)
    if "properties" not in schema:
        raise ToolDefinitionError(
            f"tool {tool!r}: args_schema must be a JSON schema of an object, a TypedDict, a dataclass or a pydantic "
            f"model, got {args_schema!r}"
        )
    names = tuple(schema["properties"])
    _check_accepts(function, tool, names)

    def read(args: Mapping[str, Any]) -> dict[str, Any]:
        problems: list[str] = []
        value = shape.read(dict(args), "", problems, True)
        if problems:
            raise ToolArgumentsError(tool, problems)
        return (
            {n: value[n] for n in names if n in value}
            if isinstance(value, dict)
            else {n: getattr(value, n) for n in names}
        )

    return Signature(schema, read, injections, names)


def _with_json_schema(schema: Mapping[str, Any], tool: str, injections: tuple[Injection, ...]) -> Signature:
    """The function gets what the model wrote; only what is missing is noticed."""
    if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), Mapping):
        raise ToolDefinitionError(f"tool {tool!r}: args_schema must describe an object, got {schema!r}")
    whole = {"type": "object", "properties": {}, **schema}
    hidden = {injection.name for injection in injections}

    def read(args: Mapping[str, Any]) -> dict[str, Any]:
        missing = [f"{name}: missing" for name in whole.get("required", ()) if name not in args]
        if missing:
            raise ToolArgumentsError(tool, missing)
        return {name: value for name, value in args.items() if name not in hidden}

    return Signature(whole, read, injections, tuple(whole["properties"]))


def _check_accepts(function: Any, tool: str, names: Sequence[str]) -> None:
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = {p.name for p in parameters}
    for name in names:
        if name not in known:
            raise ToolDefinitionError(
                f"tool {tool!r}: args_schema has {name!r}, but the function has no such parameter, only "
                f"{', '.join(map(repr, sorted(known))) or 'none'}"
            )


def check_arguments(tool: str, args: Any) -> Mapping[str, Any]:
    """Arguments as a mapping.

    Raises:
        ToolArgumentsError: they are none.
    """
    if isinstance(args, Mapping):
        return args
    raise ToolArgumentsError(tool, [f"expected an object with the arguments by name, {got(args)}"])

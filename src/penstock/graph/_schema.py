"""Reading a state schema: which keys it has, how each takes writes, and how to build an instance."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from typing_extensions import NotRequired, ReadOnly, Required, is_typeddict

from ..channels import BinaryOperatorAggregate, Channel, LastValue
from ..errors import GraphBuildError
from ..managed import ManagedValue

_QUALIFIERS = (Required, NotRequired, ReadOnly)


@dataclass(frozen=True)
class Schema:
    """What is known of one schema class.

    Attributes:
        typ: the class.
        channels: the channel of each key that is state.
        managed: the keys that the run computes.
        build: makes an instance from a dict; None for a TypedDict, whose instances are dicts.
    """

    typ: Any
    channels: Mapping[str, Channel[Any]]
    managed: Mapping[str, type[ManagedValue]]
    build: Callable[[dict[str, Any]], Any] | None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are state."""
        return tuple(self.channels)

    @property
    def name(self) -> str:
        """For messages."""
        return getattr(self.typ, "__name__", repr(self.typ))


def is_schema(typ: Any) -> bool:
    """Whether a class can describe a state: a TypedDict, a dataclass or a pydantic model."""
    typ = get_origin(typ) or typ  # of a generic one
    return isinstance(typ, type) and (is_typeddict(typ) or dataclasses.is_dataclass(typ) or is_pydantic(typ))


def is_pydantic(typ: Any) -> bool:
    """Whether a class is a pydantic model, without importing pydantic."""
    return isinstance(typ, type) and hasattr(typ, "model_fields") and hasattr(typ, "model_validate")


def read_schema(typ: Any, role: str) -> Schema:
    """Read a schema class.

    Args:
        typ: the class.
        role: what it is used as, for messages.

    Raises:
        GraphBuildError: it is no schema, its annotations cannot be resolved, or a reducer cannot be one.
    """
    if not is_schema(typ):
        raise GraphBuildError(
            f"{role} must be a TypedDict, a dataclass or a pydantic model, got {typ!r}; for example: "
            "class State(TypedDict): text: str"
        )
    arguments = get_args(typ)
    typ = get_origin(typ) or typ
    name = typ.__name__
    bound: dict[Any, Any] = dict(zip(getattr(typ, "__parameters__", ()), arguments, strict=False))
    try:
        hints = get_type_hints(typ, include_extras=True)
    except Exception as error:
        raise GraphBuildError(
            f"{role} {name!r}: its annotations cannot be resolved ({error}); define the names they use at "
            "module level, or import them outside of TYPE_CHECKING"
        ) from error
    fields = {key: _taken_apart(hint) for key, hint in hints.items()}
    if is_pydantic(typ):
        # pydantic moves the metadata of `Annotated` into its field; most of the time it is in the hint as well.
        fields = {key: (fields[key][0], fields[key][1] or f.metadata) for key, f in typ.model_fields.items()}
    elif dataclasses.is_dataclass(typ):
        fields = {f.name: fields[f.name] for f in dataclasses.fields(typ) if f.init}
    channels: dict[str, Channel[Any]] = {}
    managed: dict[str, type[ManagedValue]] = {}
    for key, (value_type, metadata) in fields.items():
        manager = _manager(metadata)
        if manager is not None:
            managed[key] = manager
        else:
            where = f"{role} {name!r}, key {key!r}"
            known = bound.get(value_type, value_type) if isinstance(value_type, TypeVar) else value_type
            channels[key] = _channel(where, known, metadata)
    return Schema(typ, channels, managed, None if is_typeddict(typ) else _builder(typ))


def _taken_apart(hint: Any) -> tuple[Any, Sequence[Any]]:
    """A hint without qualifiers and `Annotated`, in whatever order they are nested; all metadata, innermost first."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            metadata = (*hint.__metadata__, *metadata)
        elif origin not in _QUALIFIERS:
            return hint, metadata
        hint = get_args(hint)[0]


def _builder(typ: Any) -> Callable[[dict[str, Any]], Any]:
    if is_pydantic(typ):
        validate: Callable[[dict[str, Any]], Any] = typ.model_validate
        return validate
    return lambda values: typ(**values)


def _manager(metadata: Sequence[Any]) -> type[ManagedValue] | None:
    for extra in metadata:
        if isinstance(extra, type) and issubclass(extra, ManagedValue):
            return extra
    return None


def _channel(where: str, typ: Any, metadata: Sequence[Any]) -> Channel[Any]:
    for extra in reversed(metadata):
        if isinstance(extra, Channel):
            return extra
        if isinstance(extra, type) and issubclass(extra, Channel):
            return extra(typ)
    reducer = metadata[-1] if metadata else None
    if callable(reducer) and not isinstance(reducer, type) and _can_reduce(where, reducer):
        return BinaryOperatorAggregate(typ, reducer)
    return LastValue(typ)


def _can_reduce(where: str, reducer: Any) -> bool:
    try:
        parameters = inspect.signature(reducer).parameters.values()
    except (ValueError, TypeError):  # some built-ins, such as max, do not say
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    keyword_only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if (len(positional) >= 2 or variadic) and len(needed) <= 2 and not keyword_only:
        return True
    name = getattr(reducer, "__name__", repr(reducer))
    raise GraphBuildError(
        f"{where}: reducer {name}{inspect.signature(reducer)} cannot be called with (current value, new value)"
    )


def schema_of_hint(hint: Any) -> Any:
    """The schema class in an annotation, through Optional and Annotated; None if there is none."""
    if get_origin(hint) is Annotated:
        return schema_of_hint(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        inner = [a for a in get_args(hint) if a is not type(None)]
        return schema_of_hint(inner[0]) if len(inner) == 1 else None
    return hint if is_schema(hint) else None

"""From a type annotation to the shape of an argument."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
import sys
import types
import typing
import uuid
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typing_extensions
from typing_extensions import NotRequired, ReadOnly, Required, is_typeddict

from ..errors import MissingExtraError, ToolDefinitionError
from ._shape import (
    BAD,
    SCALARS,
    AnyOf,
    Anything,
    Choice,
    Field,
    FixedTuple,
    Items,
    Model,
    Parsed,
    Record,
    Shape,
    Table,
)

_QUALIFIERS = (Required, NotRequired, ReadOnly)
_ALIAS_TYPES: tuple[type[Any], ...] = tuple(
    {getattr(m, "TypeAliasType") for m in (typing, typing_extensions) if hasattr(m, "TypeAliasType")}  # noqa: B009
)


def _iso(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        # Python 3.10 does not know the Z that JSON dates usually end with.
        return parse(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)

    return read


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ValueError(text) from error


_PARSED: dict[Any, Shape] = {
    datetime.datetime: Parsed(
        datetime.datetime,
        "date-time",
        "a date and time such as 2025-01-31T12:00:00",
        _iso(datetime.datetime.fromisoformat),
    ),
    datetime.date: Parsed(datetime.date, "date", "a date such as 2025-01-31", datetime.date.fromisoformat),
    datetime.time: Parsed(datetime.time, "time", "a time such as 12:00:00", _iso(datetime.time.fromisoformat)),
    uuid.UUID: Parsed(uuid.UUID, "uuid", "a UUID", uuid.UUID),
    Decimal: Parsed(Decimal, "decimal", 'a decimal number as a string, such as "1.10"', _decimal),
    Path: Parsed(Path, "path", "a path", Path),
}

_LISTS: dict[Any, tuple[Callable[[list[Any]], Any], bool]] = {
    list: (list, False),
    abc.Sequence: (list, False),
    abc.MutableSequence: (list, False),
    abc.Collection: (list, False),
    abc.Iterable: (list, False),
    set: (set, True),
    abc.Set: (set, True),
    abc.MutableSet: (set, True),
    frozenset: (frozenset, True),
}
_TABLES = (dict, abc.Mapping, abc.MutableMapping)


def is_pydantic(typ: Any) -> bool:
    """Whether a class is a pydantic model, without importing pydantic."""
    return isinstance(typ, type) and hasattr(typ, "model_fields") and hasattr(typ, "model_validate")


def is_field_info(value: object) -> bool:
    """Whether something is what pydantic's `Field(...)` gives."""
    return type(value).__name__ == "FieldInfo" and type(value).__module__.startswith("pydantic.")


def function_hints(function: Any) -> dict[str, Any]:
    """A function's annotations, resolved; also those that name what is local to where it is defined.

    Raises:
        ToolDefinitionError: a name cannot be found.
    """
    frame: types.FrameType | None = sys._getframe(1)
    local: dict[str, Any] = {}
    while True:
        try:
            return _resolved(function, local or None)
        except NameError as error:
            name = getattr(error, "name", None) or str(error).split("'")[1]
            while frame is not None and name not in frame.f_locals:
                frame = frame.f_back
            if frame is None or name in local:
                raise ToolDefinitionError(
                    f"the annotations of {_name(function)} use the name {name!r}, which cannot be found; import it "
                    "outside of TYPE_CHECKING"
                ) from error
            local[name] = frame.f_locals[name]
        except TypeError as error:
            raise ToolDefinitionError(f"the annotations of {_name(function)} cannot be read: {error}") from error


def _resolved(function: Any, local: dict[str, Any] | None) -> dict[str, Any]:
    if sys.version_info >= (3, 11) or isinstance(function, type):
        return get_type_hints(function, localns=local, include_extras=True)
    # Python 3.10 makes every parameter with the default None Optional, unless it cannot see the defaults.
    bare = types.SimpleNamespace(__annotations__=getattr(function, "__annotations__", {}))
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return get_type_hints(bare, globalns=names, localns=local, include_extras=True)  # type: ignore[arg-type,unused-ignore]


def _name(function: Any) -> str:
    return repr(getattr(function, "__qualname__", function))


def take_apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A hint without qualifiers and `Annotated`; all metadata, innermost first."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            metadata = (*hint.__metadata__, *metadata)
        elif origin not in _QUALIFIERS:
            return hint, metadata
        hint = get_args(hint)[0]


def description_in(metadata: Sequence[Any]) -> str | None:
    """What the metadata of an `Annotated` says about the argument: text, `Doc`, pydantic's `Field`."""
    for extra in reversed(metadata):
        text: Any = extra if isinstance(extra, str) else getattr(extra, "documentation", None)
        if text is None and is_field_info(extra):
            text = getattr(extra, "description", None)
        if isinstance(text, str):
            return inspect.cleandoc(text)
    return None


class Shapes:
    """Makes shapes of annotations.

    Args:
        owner: whose annotations they are, for messages.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._records: dict[type[Any], Record] = {}

    def shape(self, hint: Any, where: str) -> Shape:
        """The shape of what a hint describes.

        Args:
            hint: the annotation, resolved.
            where: what is annotated, for messages.

        Raises:
            ToolDefinitionError: a model could not write such a value as JSON.
            MissingExtraError: pydantic is needed, and not installed.
        """
        plain, metadata = take_apart(hint)
        if any(type(extra).__module__.split(".")[0] in ("pydantic", "annotated_types") for extra in metadata):
            annotated: Any = Annotated
            parts = (plain, *metadata)
            return self._model(annotated[parts], where)
        if isinstance(plain, TypeVar):
            return self.shape(plain.__bound__ or Any, where)
        if isinstance(plain, _ALIAS_TYPES):
            return self.shape(plain.__value__, where)
        if hasattr(plain, "__supertype__"):  # NewType
            return self.shape(plain.__supertype__, where)
        if plain is Any or plain is object or plain is inspect.Parameter.empty:
            return Anything()
        if plain is None:
            plain = type(None)
        found = SCALARS.get(plain) or _PARSED.get(plain) if _hashable(plain) else None
        return found or self._compound(plain, where) or self._class(plain, where)

    def _compound(self, hint: Any, where: str) -> Shape | None:
        origin, args = get_origin(hint) or hint, get_args(hint)
        if origin in (Union, types.UnionType):
            return AnyOf(tuple(self.shape(arg, where) for arg in args))
        if origin is Literal:
            return Choice([_option(arg) for arg in args])
        if origin is tuple:
            if not args or (len(args) == 2 and args[1] is Ellipsis):
                return Items(self.shape(args[0] if args else Any, where), tuple)
            return FixedTuple(tuple(self.shape(arg, where) for arg in args if arg != ()))
        if origin in _LISTS:
            build, unique = _LISTS[origin]
            return Items(self.shape(args[0] if args else Any, where), build, unique)
        if origin in _TABLES:
            key, value = args or (str, Any)
            return Table(self.shape(key, where), self.shape(value, where))
        return None

    def _class(self, hint: Any, where: str) -> Shape:
        typ = get_origin(hint) or hint
        if is_pydantic(typ):
            return self._model(hint, where)
        if isinstance(typ, type) and issubclass(typ, enum.Enum):
            return Choice([_option(member) for member in typ])
        if is_typeddict(typ) or (isinstance(typ, type) and dataclasses.is_dataclass(typ)):
            return self._record(typ, where)
        raise ToolDefinitionError(
            f"{self._owner}: {where} is annotated with {hint!r}, which a model cannot write as JSON. Use str, int, "
            "float, bool, list, dict, tuple, set, Literal, an Enum, a TypedDict, a dataclass, a date or UUID, a "
            "pydantic model, or Any; hide a parameter that the program fills in with Annotated[..., InjectedToolArg]"
        )

    def _record(self, typ: type[Any], where: str) -> Record:
        known = self._records.get(typ)
        if known is not None:
            return known
        if is_typeddict(typ):
            record = self._records[typ] = Record(typ.__name__)
            record.fields = self._typeddict_fields(typ, where)
        else:
            record = self._records[typ] = Record(typ.__name__, build=typ, typ=typ)
            record.fields = self._dataclass_fields(typ, where)
        return record

    def _typeddict_fields(self, typ: Any, where: str) -> list[Field]:
        # Of `__required_keys__`, those that string annotations hide are missing: ask the hints.
        fields = []
        for name, hint in function_hints(typ).items():
            qualifier = _qualifier(hint)
            required = name in typ.__required_keys__ if qualifier is None else qualifier is Required
            fields.append(self._field(name, hint, where, required=required))
        return fields

    def _dataclass_fields(self, typ: Any, where: str) -> list[Field]:
        hints = function_hints(typ)
        fields = []
        for part in dataclasses.fields(typ):
            if part.init:
                required = part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
                default = BAD if part.default is dataclasses.MISSING else as_json(part.default)
                fields.append(self._field(part.name, hints[part.name], where, required=required, default=default))
        return fields

    def _field(self, name: str, hint: Any, where: str, *, required: bool, default: Any = BAD) -> Field:
        metadata = take_apart(hint)[1]
        return Field(name, self.shape(hint, f"{where}.{name}"), required, description_in(metadata), default)

    def _model(self, hint: Any, where: str) -> Model:
        try:
            from pydantic import TypeAdapter
        except ImportError as error:
            raise MissingExtraError(f"{self._owner}: {where} needs pydantic; pip install penstock[pydantic]") from error
        name = getattr(take_apart(hint)[0], "__name__", "a value")
        try:
            adapter: Any = TypeAdapter(hint)
            adapter.json_schema()
        except Exception as error:
            raise ToolDefinitionError(f"{self._owner}: {where}: pydantic cannot describe {hint!r}: {error}") from error
        return Model(adapter, f"an object ({name})" if is_pydantic(take_apart(hint)[0]) else f"a valid {name}")


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _qualifier(hint: Any) -> Any:
    while True:
        origin = get_origin(hint)
        if origin in (Required, NotRequired):
            return origin
        if origin not in (Annotated, ReadOnly):
            return None
        hint = get_args(hint)[0]


def _option(value: Any) -> tuple[Any, Any]:
    """A choice as JSON has it, and as Python has it."""
    if isinstance(value, enum.Enum):
        sent = value.value
        return (sent if isinstance(sent, (str, int, float, bool)) else value.name), value
    return value, value


def as_json(value: Any) -> Any:
    """A default as JSON has it; `BAD` if JSON does not have it."""
    if isinstance(value, enum.Enum):
        return _option(value)[0]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [as_json(item) for item in value]
        return BAD if any(item is BAD for item in items) else items
    if isinstance(value, Mapping):
        table = {str(key): as_json(item) for key, item in value.items()}
        return BAD if any(item is BAD for item in table.values()) else table
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json({field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init})
    return str(value) if type(value) in _PARSED or isinstance(value, Path) else BAD

"""What an argument may look like: the JSON schema a model sees, and how what the model sends is read.

JSON is poorer than Python, and models are careless: reading turns lists into tuples and sets, 3.0 into 3, objects
into dataclasses, text into dates.  What could mean something else than it says is a problem, told in words that the
model can act on.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

BAD: Any = object()
"""What reading returns next to a problem."""


class Definitions:
    """The named parts of one schema: records that contain themselves, and what pydantic names."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self.open: dict[int, str] = {}
        self.referred: set[int] = set()

    def free_name(self, name: str) -> str:
        """The name, or one like it that nothing has yet."""
        taken = {*self.named, *self.open.values()}
        free, n = name, 1
        while free in taken:
            n += 1
            free = f"{name}{n}"
        return free


def json_kind(value: object) -> str:
    """What JSON calls a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "list"
    return "object" if isinstance(value, Mapping) else type(value).__name__


def got(value: object) -> str:
    """A value, for the end of a problem."""
    text = repr(value)
    return f"got {text if len(text) <= 80 else text[:77] + '...'} ({json_kind(value)})"


def complain(problems: list[str], at: str, text: str) -> Any:
    """Note a problem with the value at a place."""
    problems.append(f"{at}: {text}" if at else text)
    return BAD


class Shape(ABC):
    """One kind of argument."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected, for messages."""

    @abstractmethod
    def schema(self, definitions: Definitions) -> Schema:
        """The JSON schema."""

    @abstractmethod
    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        """The value as the function wants it; `BAD`, and a problem, if it does not fit.

        Args:
            value: what was sent.
            at: where it is, for messages.
            problems: where to note what is wrong.
            lax: whether to accept what only looks like it, such as "3" for 3.
        """


class Anything(Shape):
    """Whatever it is."""

    @property
    def words(self) -> str:
        return "anything"

    def schema(self, definitions: Definitions) -> Schema:
        return {}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        return value


class Nothing(Shape):
    """null."""

    @property
    def words(self) -> str:
        return "null"

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "null"}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        return None if value is None else complain(problems, at, f"expected null, {got(value)}")


def _read_text(value: Any, lax: bool) -> Any:
    return value if isinstance(value, str) else BAD


def _read_whole(value: Any, lax: bool) -> Any:
    if isinstance(value, bool):
        return BAD
    if isinstance(value, int):
        return value
    if lax and isinstance(value, float) and value.is_integer():
        return int(value)
    if lax and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return BAD
    return BAD


def _read_number(value: Any, lax: bool) -> Any:
    if isinstance(value, float):
        return value
    if lax and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return BAD
        return number if math.isfinite(number) else BAD
    return BAD


def _read_truth(value: Any, lax: bool) -> Any:
    if isinstance(value, bool):
        return value
    if lax and isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), BAD)
    return BAD


@dataclasses.dataclass(frozen=True)
class Scalar(Shape):
    """A string, number or truth value."""

    json_type: str
    expected: str
    reader: Callable[[Any, bool], Any]

    @property
    def words(self) -> str:
        return self.expected

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": self.json_type}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        read = self.reader(value, lax)
        return complain(problems, at, f"expected {self.expected}, {got(value)}") if read is BAD else read


SCALARS: dict[Any, Shape] = {
    str: Scalar("string", "a string", _read_text),
    int: Scalar("integer", "a whole number", _read_whole),
    float: Scalar("number", "a number", _read_number),
    bool: Scalar("boolean", "true or false", _read_truth),
    type(None): Nothing(),
}


@dataclasses.dataclass(frozen=True)
class Parsed(Shape):
    """A value that JSON writes as text: a date, a UUID."""

    typ: type[Any]
    format: str
    expected: str
    parse: Callable[[str], Any]

    @property
    def words(self) -> str:
        return self.expected

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "format": self.format}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        if type(value) is self.typ:
            return value
        if isinstance(value, str):
            try:
                return self.parse(value)
            except ValueError:
                pass
        return complain(problems, at, f"expected {self.expected}, {got(value)}")


class Choice(Shape):
    """One of several values.

    Args:
        options: the values as JSON has them, and as Python has them.
    """

    def __init__(self, options: Sequence[tuple[Any, Any]]) -> None:
        self.options = options

    @property
    def words(self) -> str:
        shown = [repr(value) for value, _ in self.options]
        return shown[0] if len(shown) == 1 else f"one of {', '.join(shown)}"

    def schema(self, definitions: Definitions) -> Schema:
        values = [value for value, _ in self.options]
        kinds = {type(value) for value in values}
        types = {str: "string", int: "integer", bool: "boolean", type(None): "null", float: "number"}
        one = types.get(kinds.pop()) if len(kinds) == 1 else None
        return {"enum": values} if one is None else {"type": one, "enum": values}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        for sent, meant in self.options:
            if value is meant or (type(value) is type(sent) and value == sent):
                return meant
        if lax:
            for sent, meant in self.options:
                if _same_number(sent, value) or (isinstance(value, str) and value == str(sent) and sent is not None):
                    return meant
        return complain(problems, at, f"expected {self.words}, {got(value)}")


def _same_number(left: Any, right: Any) -> bool:
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    return numbers and not isinstance(left, bool) and not isinstance(right, bool) and left == right


@dataclasses.dataclass(frozen=True)
class Items(Shape):
    """A list, set or tuple of any length."""

    item: Shape
    build: Callable[[list[Any]], Any]
    unique: bool = False

    @property
    def words(self) -> str:
        return "a list"

    def schema(self, definitions: Definitions) -> Schema:
        out: Schema = {"type": "array", "items": self.item.schema(definitions)}
        return {**out, "uniqueItems": True} if self.unique else out

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        if not isinstance(value, (list, tuple, set, frozenset)):
            return complain(problems, at, f"expected a list, {got(value)}")
        before = len(problems)
        items = [self.item.read(item, f"{at}[{i}]", problems, lax) for i, item in enumerate(value)]
        if len(problems) > before:
            return BAD
        try:
            return self.build(items)
        except TypeError:  # a set of what cannot be in one
            return complain(problems, at, f"expected a list of plain values, {got(value)}")


@dataclasses.dataclass(frozen=True)
class FixedTuple(Shape):
    """A list whose every place has its own kind."""

    items: tuple[Shape, ...]

    @property
    def words(self) -> str:
        return f"a list of {len(self.items)} items"

    def schema(self, definitions: Definitions) -> Schema:
        n = len(self.items)
        out: Schema = {"type": "array", "minItems": n, "maxItems": n}
        return {**out, "prefixItems": [item.schema(definitions) for item in self.items]} if n else out

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(self.items):
            return complain(problems, at, f"expected {self.words}, {got(value)}")
        before = len(problems)
        pairs = zip(self.items, value, strict=True)
        read = tuple(item.read(v, f"{at}[{i}]", problems, lax) for i, (item, v) in enumerate(pairs))
        return BAD if len(problems) > before else read


@dataclasses.dataclass(frozen=True)
class Table(Shape):
    """An object with keys of one kind and values of one kind."""

    key: Shape
    value: Shape

    @property
    def words(self) -> str:
        return "an object"

    def schema(self, definitions: Definitions) -> Schema:
        value = self.value.schema(definitions)
        out: Schema = {"type": "object", "additionalProperties": value if value else True}
        if isinstance(self.key, Choice):
            out["propertyNames"] = {"enum": [str(sent) for sent, _ in self.key.options]}
        return out

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        if not isinstance(value, Mapping):
            return complain(problems, at, f"expected an object, {got(value)}")
        before = len(problems)
        read: dict[Any, Any] = {}
        for key, item in value.items():
            place = f"{at}.{key}" if at else str(key)
            # Keys of JSON objects are text: 3 arrives as "3".
            key_read = self.key.read(key, f"the key of {place}", problems, True)
            item_read = self.value.read(item, place, problems, lax)
            if len(problems) == before:
                read[key_read] = item_read
        return BAD if len(problems) > before else read


@dataclasses.dataclass(frozen=True)
class AnyOf(Shape):
    """One of several kinds."""

    options: tuple[Shape, ...]

    @property
    def words(self) -> str:
        return " or ".join(dict.fromkeys(option.words for option in self.options))

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [option.schema(definitions) for option in self.options]}

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        for accept_more in (False, True) if lax else (False,):  # what it says before what it could mean
            for option in self.options:
                trial: list[str] = []
                read = option.read(value, at, trial, accept_more)
                if not trial:
                    return read
        return self._explain(value, at, problems, lax)

    def _explain(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        """Say what is wrong in detail where it is clear which option was meant."""
        meant: list[Shape] = [option for option in self.options if not isinstance(option, Nothing)]
        if len(meant) > 1 and isinstance(value, Mapping):
            meant = [option for option in meant if isinstance(option, (Record, Table, Model))]
        if len(meant) == 1 and value is not None:
            return meant[0].read(value, at, problems, lax)
        return complain(problems, at, f"expected {self.words}, {got(value)}")


@dataclasses.dataclass
class Field:
    """One key of a record, or one parameter of a function."""

    name: str
    shape: Shape
    required: bool
    description: str | None = None
    default: Any = BAD
    make_default: Callable[[], Any] | None = None
    """For a default that the function itself does not know, such as one inside of pydantic's `Field`."""

    def schema(self, definitions: Definitions) -> Schema:
        """The JSON schema, with description and default."""
        out = dict(self.shape.schema(definitions))
        if self.description:
            out["description"] = self.description
        if self.default is not BAD:
            out["default"] = self.default
        return out


class Record(Shape):
    """An object with named fields: a TypedDict, a dataclass, the parameters of a function.

    Args:
        name: for messages and references.
        fields: filled in later for a record that contains itself.
        build: makes the value of the fields that were given.
        typ: an instance of which needs no reading.
    """

    def __init__(
        self,
        name: str,
        fields: Sequence[Field] = (),
        build: Callable[..., Any] | None = None,
        typ: type[Any] | None = None,
    ) -> None:
        self.name = name
        self.fields: Sequence[Field] = fields
        self._build = build
        self._typ = typ

    @property
    def words(self) -> str:
        return f"an object ({self.name})"

    def schema(self, definitions: Definitions) -> Schema:
        me = id(self)
        if me in definitions.open:
            definitions.referred.add(me)
            return {"$ref": f"#/$defs/{definitions.open[me]}"}
        name = definitions.open[me] = definitions.free_name(self.name)
        out = self.plain_schema(definitions)
        del definitions.open[me]
        if me not in definitions.referred:
            return out
        definitions.referred.discard(me)
        definitions.named[name] = out
        return {"$ref": f"#/$defs/{name}"}

    def plain_schema(self, definitions: Definitions) -> Schema:
        """The schema in place, not as a reference."""
        properties = {field.name: field.schema(definitions) for field in self.fields}
        out: Schema = {"type": "object", "properties": properties}
        required = [field.name for field in self.fields if field.required]
        return {**out, "required": required} if required else out

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        if self._typ is not None and isinstance(value, self._typ):
            return value
        if not isinstance(value, Mapping):
            return complain(problems, at, f"expected {self.words}, {got(value)}")
        before = len(problems)
        read = self.read_fields(value, at, problems, lax)
        if len(problems) > before:
            return BAD
        if self._build is None:
            return read
        try:
            return self._build(**read)
        except (TypeError, ValueError) as error:  # what the class itself does not accept
            return complain(problems, at, str(error))

    def read_fields(self, value: Mapping[str, Any], at: str, problems: list[str], lax: bool) -> dict[str, Any]:
        """The fields that were given; what is no field is left out, unless it looks like a misspelt one."""
        read: dict[str, Any] = {}
        missing: list[str] = []
        for field in self.fields:
            place = f"{at}.{field.name}" if at else field.name
            if field.name in value:
                read[field.name] = field.shape.read(value[field.name], place, problems, lax)
            else:
                missing.append(field.name)
                if field.make_default is not None:
                    read[field.name] = field.make_default()
                elif field.required:
                    complain(problems, place, f"missing; expected {field.shape.words}")
        known = {field.name for field in self.fields}
        for key in value:
            close = difflib.get_close_matches(str(key), missing, n=1, cutoff=0.75) if key not in known else ()
            if close:
                place = f"{at}.{key}" if at else str(key)
                complain(problems, place, f"unknown; did you mean {close[0]!r}?")
        return read


class Model(Shape):
    """What pydantic describes and validates.

    Args:
        adapter: a pydantic `TypeAdapter`.
        name: for messages.
    """

    def __init__(self, adapter: Any, name: str) -> None:
        self._adapter = adapter
        self._name = name

    @property
    def words(self) -> str:
        return self._name

    def schema(self, definitions: Definitions) -> Schema:
        out: Schema = self._adapter.json_schema()
        parts: dict[str, Schema] = out.pop("$defs", {})
        renamed = {name: definitions.free_name(name) for name in parts if definitions.named.get(name) != parts[name]}
        parts = {renamed.get(key, key): _renamed(part, renamed) for key, part in parts.items()}
        definitions.named.update(parts)
        renamed_out: Schema = _renamed(out, renamed)
        return renamed_out

    def read(self, value: Any, at: str, problems: list[str], lax: bool) -> Any:
        try:
            return self._adapter.validate_python(value, strict=None if lax else True)
        except ValueError as error:  # pydantic's own is one
            errors = getattr(error, "errors", None)
            found: list[dict[str, Any]] = errors() if errors else [{"loc": (), "msg": str(error)}]
            for one in found:
                place = at
                for part in one["loc"]:
                    place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
                complain(problems, place, one["msg"])
            return BAD


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"#/$defs/{names.get(value[8:], value[8:])}"
            if key == "$ref" and isinstance(value, str)
            else _renamed(value, names)
            for key, value in schema.items()
        }
    return [_renamed(item, names) for item in schema] if isinstance(schema, list) else schema

"""How Python types look in JSON: schemas for models, and reading what models send."""

from __future__ import annotations

from ._hints import Shapes, as_json, description_in, function_hints, is_field_info, take_apart
from ._shape import BAD, Definitions, Field, Record, Schema, Shape, got

__all__ = [
    "BAD",
    "Definitions",
    "Field",
    "Record",
    "Schema",
    "Shape",
    "Shapes",
    "as_json",
    "description_in",
    "function_hints",
    "got",
    "is_field_info",
    "take_apart",
]

"""What annotations and code say about where a node or router may go."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ..types import Command


def literal_targets(returns: Any, *, in_command: bool = False) -> tuple[str, ...] | None:
    """The node names in a return annotation, or None if it does not say.

    Args:
        returns: the annotation.
        in_command: look only inside of `Command[Literal[...]]`, as for nodes.
    """
    found = list(_literals(returns, not in_command))
    return tuple(dict.fromkeys(found)) if found else None


def _literals(hint: Any, inside: bool) -> Iterator[str]:
    origin = get_origin(hint)
    if origin is Literal:
        if inside:
            yield from (a for a in get_args(hint) if isinstance(a, str))
    elif origin is Command:
        for argument in get_args(hint):
            yield from _literals(argument, True)
    elif origin is Annotated:
        yield from _literals(get_args(hint)[0], inside)
    elif origin in (Union, types.UnionType, list, tuple, set, frozenset) or getattr(origin, "__module__", "") == (
        "collections.abc"
    ):
        for argument in get_args(hint):
            yield from _literals(argument, inside)


def may_return_command(function: Any) -> bool:
    """Whether a node's function could go somewhere with a `Command` that no declaration names.

    Read from the code: a function that mentions `Command` may, and so may one whose code is not ours to read or
    that calls something it was handed.  Used only to avoid calling a node unreachable that is not.
    """
    if function is None:
        return False
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    closure = getattr(function, "__closure__", None) or ()
    return _mentions_command(code) or any(_is_callable_cell(c) for c in closure)


def _mentions_command(code: types.CodeType) -> bool:
    if any("Command" in name for name in (*code.co_names, *code.co_freevars, *code.co_varnames)):
        return True
    return any(_mentions_command(c) for c in code.co_consts if isinstance(c, types.CodeType))


def _is_callable_cell(cell: Any) -> bool:
    try:
        return callable(cell.cell_contents)
    except ValueError:  # not filled yet
        return True

"""What annotations and code say about where a node or router may go."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ..types import Command
from ._compiled import CompiledStateGraph


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

    Read from the code: a function that mentions `Command` may, and so may one whose code is not ours to read, or
    that calls one of these: a helper of the same package, a graph whose nodes may go on in the graph around it, or
    something it was handed.  Used only to avoid calling a node unreachable that is not.
    """
    return function is not None and _may_go_on(function, _package(function), set())


def _may_go_on(function: Any, package: str, seen: set[Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    for graph in (function, owner):
        if isinstance(graph, CompiledStateGraph):
            return graph.open_ended
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):
        owner, function = function, type(function).__call__  # a callable object
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    if function in seen:
        return False
    seen.add(function)
    names = set(_names(code))
    if any("Command" in name for name in names):
        return True
    return any(_may_go_on(called, package, seen) for called in _called(function, owner, names, package))


def _names(code: types.CodeType) -> Iterator[str]:
    """Every name in a function and in the functions inside of it."""
    yield from (*code.co_names, *code.co_freevars, *code.co_varnames)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _called(function: Any, owner: Any, names: set[str], package: str) -> Iterator[Any]:
    """What a function's names may stand for, as far as it matters here."""
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        if not isinstance(value, type) and (callable(value) or isinstance(value, CompiledStateGraph)):
            yield value
    known = [function.__globals__[name] for name in names if name in function.__globals__]
    known += [m for value in (owner, *known) for m in _members(value, names, package)]
    for value in known:
        is_own = isinstance(value, (types.FunctionType, types.MethodType)) and _package(value) == package
        if is_own or isinstance(value, CompiledStateGraph):
            yield value


def _members(value: Any, names: set[str], package: str) -> Iterator[Any]:
    """What `value.name` stands for, if `value` is a module, or an object of the same package as the node."""
    kind = value if isinstance(value, type) else type(value)
    if not isinstance(value, types.ModuleType) and _package(kind) != package:
        return
    for name in names:
        member = inspect.getattr_static(value, name, None)
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        elif isinstance(member, types.FunctionType) and not isinstance(value, types.ModuleType):
            member = types.MethodType(member, value)
        yield member


def _package(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]

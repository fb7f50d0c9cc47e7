"""The public face of penstock: its modules, their names, and a snapshot of both.

`python -m tests.support.api` prints the snapshot, with `--write` it replaces `tests/public_api.txt`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import penstock

SNAPSHOT = Path(__file__).parent.parent / "public_api.txt"


def public_modules() -> list[ModuleType]:
    """penstock and every module in it without a private segment in its name."""
    found = [penstock]
    for info in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            found.append(importlib.import_module(info.name))
    return sorted(found, key=lambda module: module.__name__)


def public_names(module: ModuleType) -> list[str]:
    """What a module exports: its `__all__`, else what it defines without a leading underscore."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def snapshot() -> str:
    """Every public module, followed by the names it exports."""
    lines = []
    for module in public_modules():
        lines.append(module.__name__)
        lines += [f"    {name}" for name in public_names(module)]
    return "\n".join(lines) + "\n"


def documented_objects() -> Iterator[tuple[str, object]]:
    """Everything public that can carry a docstring, once each: modules, classes, functions, members."""
    seen: set[int] = set()
    for module in public_modules():
        yield module.__name__, module
        for name in public_names(module):
            value = getattr(module, name)
            if not _is_ours(value) or id(value) in seen:
                continue
            seen.add(id(value))
            qualified = f"{module.__name__}.{name}"
            yield qualified, value
            if inspect.isclass(value):
                yield from _members(qualified, value)


def _members(qualified: str, cls: type) -> Iterator[tuple[str, object]]:
    for name, member in vars(cls).items():
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            yield f"{qualified}.{name}", member


def _is_ours(value: object) -> bool:
    is_documentable = inspect.isclass(value) or inspect.isroutine(value)
    return is_documentable and str(getattr(value, "__module__", "")).startswith("penstock")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        SNAPSHOT.write_text(snapshot())
    else:
        sys.stdout.write(snapshot())

"""What penstock shows: the exported names, their documentation, and what importing it loads."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from tests.support import api

OURS = {"penstock"}
# what penstock depends on, and what those load themselves
DEPENDENCIES = {"anyio", "typing_extensions", "idna", "exceptiongroup", "sniffio"}


def test_exported_names_are_those_of_the_snapshot() -> None:
    assert api.SNAPSHOT.exists(), "run `python -m tests.support.api --write` and commit the file"
    assert api.snapshot() == api.SNAPSHOT.read_text(), (
        "the public face has changed; if that is meant, run `python -m tests.support.api --write`, "
        "review the difference and note it in CHANGELOG.md"
    )


@pytest.mark.parametrize("module", api.public_modules(), ids=lambda module: module.__name__)
def test_every_exported_name_exists_and_is_named_once(module: object) -> None:
    names = list(getattr(module, "__all__", ()))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(module, name)] == []


def test_every_public_object_has_a_docstring() -> None:
    assert [name for name, value in api.documented_objects() if not _own_doc(value)] == []


def _own_doc(value: object) -> str | None:
    doc = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    # what @dataclass and NamedTuple write themselves is a signature, no documentation
    if inspect.isclass(value) and doc and doc.startswith(f"{value.__name__}("):
        return None
    return doc


@pytest.mark.parametrize("module", ["penstock", "penstock.graph"])
def test_import_loads_no_optional_dependency(module: str) -> None:
    code = (
        "import sys; before = set(sys.modules); "
        f"import {module}; print(*sorted({{name.partition('.')[0] for name in set(sys.modules) - before}}))"
    )
    out = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    foreign = set(out.split()) - set(sys.stdlib_module_names) - OURS - DEPENDENCIES
    assert foreign == set()

"""Every python block of README, docs and docstrings runs, those that await on asyncio and on trio."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import BACKENDS, api
from tests.support.snippets import awaits, python_snippets, run_snippets, snippets

ROOT = Path(__file__).parent.parent
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]
LANGUAGES = {"python", "text", "console", "toml", "json", "mermaid"}
"""What a fenced block may be; not `py` or `pycon`, which would not be run."""


def cases() -> Iterator[Any]:
    """Page or docstring, its text, and each backend to run it on."""
    texts = [(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")) for page in PAGES]
    texts += [(name, inspect.getdoc(value) or "") for name, value in api.documented_objects()]
    for name, text in texts:
        if found := python_snippets(text):
            for backend_id in BACKENDS if awaits(found) else BACKENDS[:1]:
                if backend_id in ("asyncio", "trio"):
                    yield pytest.param(name, found, backend_id, id=f"{name}-{backend_id}")


@pytest.mark.parametrize(("name", "found", "backend"), list(cases()))
def test_the_code_runs(
    name: str, found: list[Any], backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_snippets(found, name, backend)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_code_is_exempt(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {snippet.language for snippet in snippets(text)} <= LANGUAGES
    assert text.count("```") == 2 * len(list(snippets(text))), "a fence that does not close"
    assert "not-executed" not in text

"""What the project checks about itself: `nox -l` lists it, `nox -s tests` is the one to start with.

Needs nothing but nox and an interpreter; `uv` is used when it is there.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "floors", "tests"]
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
SUPPORTED = ["3.10", "3.11", "3.12", "3.13"]
EXTRAS = ".[pydantic,trio,uvloop]"


def group(name: str) -> tuple[str, ...]:
    """The requirements of a dependency group of pyproject.toml."""
    return nox.project.dependency_groups(PYPROJECT, name)


def interpreter(version: str) -> str:
    """The interpreter for a Python version: pyenv's where there is one, else what nox finds on PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = sorted(root.glob(f"versions/{version}.*/bin/python"), key=lambda path: _numbers(path.parent.parent.name))
    return str(found[-1]) if found else version


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def oldest_python() -> str | None:
    """The oldest supported interpreter present, the one nox runs with if there is none."""
    present = (interpreter(version) for version in SUPPORTED)
    return next((python for python in present if Path(python).is_absolute()), None)


def _pytest(session: nox.Session, *args: str) -> None:
    session.run("python", "-m", "pytest", *args, *session.posargs, env={"PYTHONDEVMODE": ""})


@nox.session
def demo(session: nox.Session) -> None:
    """Watch a graph index real files, on asyncio, on trio and from plain threads; then an agent use its tools."""
    session.install("-e", ".[trio]")
    session.run("python", "-m", "examples.index_files", *session.posargs)
    session.run("python", "-m", "examples.agent_demo")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests on all backends; fails below 95 % branch coverage."""
    session.install("-e", EXTRAS, *group("test"), *group("integrations"), *group("coverage"))
    # a selection of tests cannot reach the coverage of all of them
    gate = () if session.posargs else ("--cov", "--cov-report=term", "--cov-fail-under=95")
    _pytest(session, *gate)


def _register_tests_for(version: str) -> None:
    @nox.session(name=f"tests-{version}", python=interpreter(version))
    def tests_on_one_version(session: nox.Session) -> None:
        session.install("-e", EXTRAS, *group("test"), *group("integrations"))
        _pytest(session)


for _version in SUPPORTED:
    _register_tests_for(_version)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, likely bugs, misuse of async, spelling."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("flake8", "src", *_present("examples", "benchmarks"))
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """mypy and pyright over the sources and the tests of types; how complete the public types are."""
    pyright = [] if shutil.which("node") else ["pyright[nodejs]"]
    session.install("-e", EXTRAS, "pytest", *group("types"), *pyright)
    checked = ["src", *_present("tests/typing", "tests/support")]
    session.run("mypy", *checked)
    session.run("pyright", *checked)
    session.run("pyright", "--verifytypes", "penstock", "--ignoreexternal")


@nox.session
def floors(session: nox.Session) -> None:
    """Who may import whom."""
    session.install("-e", ".", *group("floors"))
    session.run("lint-imports", "--no-cache")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, next to their peers; arguments after `--` are passed on (`--json`, `--only`, `--svg`)."""
    # LangChain's models run in penstock's nodes, too; they are to be of the version that LangGraph has beside it.
    pins = ("--constraint", "benchmarks/peers.txt")
    session.install("-e", ".[trio,uvloop,langchain]", *group("bench"), *pins)
    # The peers have an environment of their own, which the benchmarks make once, as benchmarks/peers.txt pins them.
    peers = Path(session.virtualenv.location).with_name("bench-peers")
    given = os.environ.get("PENSTOCK_BENCH_PEERS", str(peers))
    session.run("python", "-m", "benchmarks", "--peers-env", given, *session.posargs)


@nox.session(python=oldest_python())
def lowest(session: nox.Session) -> None:
    """The tests with the oldest dependencies that pyproject.toml allows."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    stated = [*PYPROJECT["project"]["dependencies"], *extras["pydantic"], *extras["trio"]]
    pinned = [requirement.replace(">=", "==") for requirement in stated]
    session.install("-e", ".", *group("test"), *pinned)
    _pytest(session)


def _present(*paths: str) -> list[str]:
    return [path for path in paths if (ROOT / path).exists()]

"""Every async test runs on every backend, in virtual time where there is such, and leaves nothing behind.

Fixtures: `backend_id`, `anyio_backend`, `expected_noise`, `no_leftovers` (automatic).
Marks: `virtual_time` (not on a backend with a real clock), `backends("asyncio", ...)` (only on these).
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from inspect import iscoroutinefunction
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support import BACKENDS, REAL_TIME, ExpectedNoise, Leftovers, backend_with_options
from tests.support.leftovers import LogTrap, checked, leftover_threads, penstock_threads

# --- Hypothesis ------------------------------------------------------------------------------------------

# The backend is a function-scoped fixture on purpose: every example gets a loop of its own.
_SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors]

settings.register_profile(
    "ci", deadline=None, max_examples=50, derandomize=True, print_blob=True, suppress_health_check=_SUPPRESSED
)
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=_SUPPRESSED)
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=_SUPPRESSED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# --- backends --------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Announce this suite's marks."""
    config.addinivalue_line("markers", "virtual_time: the test needs virtual time; not run on uvloop")
    config.addinivalue_line("markers", "backends(*ids): run the test on these backends only")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: Any) -> None:
    """Mark every async test for anyio's plugin, so that no test module has to."""
    if collector.istestfunction(obj, name):
        inner = obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj
        if iscoroutinefunction(inner):
            pytest.mark.anyio(obj)
            pytest.mark.usefixtures("anyio_backend")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per backend, as far as the test's marks allow."""
    if "backend_id" not in metafunc.fixturenames:
        return
    definition = metafunc.definition
    ids = [name for name in BACKENDS if not (definition.get_closest_marker("virtual_time") and name in REAL_TIME)]
    if only := definition.get_closest_marker("backends"):
        ids = [name for name in ids if name in only.args]
    metafunc.parametrize("backend_id", ids, ids=ids, indirect=True)


@pytest.fixture
def backend_id(request: pytest.FixtureRequest) -> str:
    """The name of the backend a test runs on: for sync tests that use `run_on(backend_id, ...)`."""
    name: str = request.param
    return name


@pytest.fixture
def anyio_backend(backend_id: str) -> tuple[str, dict[str, Any]]:
    """What anyio's plugin runs the test on."""
    return backend_with_options(backend_id)


# --- leftovers -------------------------------------------------------------------------------------------


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take everything imported so far out of the collector's sight: each test ends with a full collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The same after each module: what it leaves for good (caches, reports) need not be searched after every test."""
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


@pytest.fixture
def expected_noise() -> ExpectedNoise:
    """Where a test announces the log lines, threads and tasks that `no_leftovers` is to tolerate."""
    return ExpectedNoise()


@pytest.fixture(autouse=True)
def no_leftovers(expected_noise: ExpectedNoise) -> Iterator[None]:
    """Fail a test that left threads or log records behind; warnings and errors in `__del__` are pytest's."""
    known = penstock_threads()
    with LogTrap() as trap:
        yield
        gc.collect()
        complaints = expected_noise.complaints(trap.lines, leftover_threads(known))
    if complaints:
        raise Leftovers("\n".join(complaints))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Look for tasks that outlive an async test, from inside its loop."""
    if "anyio_backend" in pyfuncitem.funcargs:
        allowed = pyfuncitem.funcargs["expected_noise"].task_is_allowed
        if hasattr(pyfuncitem.obj, "hypothesis"):
            handle = pyfuncitem.obj.hypothesis
            # anyio's plugin keeps the coroutine function here when it has wrapped it for an earlier backend
            original = getattr(handle.inner_test, "_anyio_original_func", handle.inner_test)
            original = getattr(original, "__wrapped_by_no_leftovers__", original)
            if iscoroutinefunction(original):
                handle.inner_test = checked(original, allowed)
                handle.inner_test.__wrapped_by_no_leftovers__ = original
        elif iscoroutinefunction(pyfuncitem.obj):
            pyfuncitem.obj = checked(pyfuncitem.obj, allowed)
    return (yield)

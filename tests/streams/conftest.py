"""Mergers that are closed when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from penstock.streams import Merger


@pytest.fixture
def new_merger() -> Iterator[Callable[[int], Merger]]:
    """Makes mergers; call it inside the test's event loop."""
    made: list[Merger] = []

    def make(high_water_mark: int) -> Merger:
        merger = Merger(high_water_mark)
        made.append(merger)
        return merger

    yield make
    for merger in made:
        merger.close()

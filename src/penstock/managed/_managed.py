"""The managed values and what they are computed from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, NamedTuple


class StepProgress(NamedTuple):
    """Where a run stands.

    Attributes:
        step: number of the superstep about to run; the first is 1.
        limit: the run's `recursion_limit`.
    """

    step: int
    limit: int


class ManagedValue(ABC):
    """A value the run computes for a node's input; annotate a key with the subclass.

    Example:
        ```python
        from typing import Annotated

        from penstock.managed import ManagedValue, StepProgress

        class StepNumber(ManagedValue):
            @staticmethod
            def get(progress):
                return progress.step

        Step = Annotated[int, StepNumber]
        assert StepNumber.get(StepProgress(step=3, limit=25)) == 3
        ```
    """

    @staticmethod
    @abstractmethod
    def get(progress: StepProgress) -> Any:
        """The value for a superstep."""


class _IsLastStep(ManagedValue):
    @staticmethod
    def get(progress: StepProgress) -> bool:
        return progress.step == progress.limit - 1


class _RemainingSteps(ManagedValue):
    @staticmethod
    def get(progress: StepProgress) -> int:
        return progress.limit - progress.step


IsLastStep = Annotated[bool, _IsLastStep]
"""True in the last superstep that the recursion limit leaves; annotate a key with it."""

RemainingSteps = Annotated[int, _RemainingSteps]
"""How many supersteps the recursion limit leaves; annotate a key with it."""

"""The values about the recursion limit, at the path users of LangGraph import them from."""

from __future__ import annotations

from ._managed import IsLastStep, RemainingSteps

__all__ = ["IsLastStep", "RemainingSteps"]

"""Managed values: keys of a node's input that the run fills in, and that nobody writes."""

from __future__ import annotations

from ._managed import IsLastStep, ManagedValue, RemainingSteps, StepProgress

__all__ = ["IsLastStep", "ManagedValue", "RemainingSteps", "StepProgress"]

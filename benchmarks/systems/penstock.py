"""penstock, through its public API."""

ROOT = "penstock"

"""Private homes of what `penstock.types` shows."""

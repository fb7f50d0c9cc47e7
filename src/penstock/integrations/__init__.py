"""Optional third parties, a module each; importing this package imports none of them."""

from __future__ import annotations

__all__: list[str] = []

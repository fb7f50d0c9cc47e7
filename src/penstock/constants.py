"""Names with a fixed meaning: the two ends of every graph, and tags the runtime looks at."""

from __future__ import annotations

import sys

__all__ = ["END", "START", "TAG_HIDDEN", "TAG_NOSTREAM"]

START = sys.intern("__start__")
"""The virtual node before the first: an edge from it is an entry point."""

END = sys.intern("__end__")
"""The virtual node after the last: an edge to it ends that path."""

TAG_NOSTREAM = sys.intern("nostream")
"""Tag of a model call whose tokens and message stay out of `messages` mode."""

TAG_HIDDEN = sys.intern("langsmith:hidden")
"""Tag of a call that tracing leaves out."""

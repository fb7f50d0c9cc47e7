"""Golden conformance: what LangGraph was recorded doing, and the graphs that do it again."""

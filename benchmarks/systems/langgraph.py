"""LangGraph, through its public API: the same programs as penstock's."""

ROOT = "langgraph"

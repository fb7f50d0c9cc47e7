"""Spans as OpenTelemetry's conventions for generative AI describe them: names and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.messages import is_message
from penstock.runtime import Span

from ._gen_ai_content import (
    as_json,
    describe_message,
    input_messages,
    message_in,
    state_messages,
    tool_definitions,
)

Attributes = dict[str, Any]

_PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "google_anthropic_vertex": "gcp.vertex_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""What `ls_provider` is in the conventions, where that is something else."""

_INFERENCE = {"chat_model": "chat", "llm": "text_completion"}

_PLACES = ("seq:step:", "graph:step:", "map:key:")
"""How the tags begin that say where in a chain or graph something is."""


def is_inference(span: Span) -> bool:
    """Whether it is a call of a model."""
    return span.kind in _INFERENCE


# ---------------------------------------------------------------- at the start


def describe_start(span: Span, *, is_agent: bool) -> tuple[str, Attributes]:
    """The name, and what is known before anything has happened, content left out.

    Args:
        span: the span.
        is_agent: whether it is a graph that is an agent.
    """
    attributes = _place(span)
    if is_inference(span):
        return _start_inference(span, attributes)
    if span.kind == "graph":
        operation = "invoke_agent" if is_agent else "invoke_workflow"
        attributes["gen_ai.agent.name"] = span.name
        _set(attributes, "gen_ai.conversation.id", _text(span.metadata.get("thread_id")))
    elif span.kind == "tool":
        operation = "execute_tool"
        attributes["gen_ai.tool.name"] = span.name
        attributes["gen_ai.tool.type"] = "function"
        _set(attributes, "gen_ai.tool.call.id", _text(span.details.get("tool_call_id")))
        _set(attributes, "gen_ai.tool.description", span.details.get("description"))
    elif span.kind == "retriever":
        operation = "retrieval"
    else:
        return ("superstep" if span.kind == "superstep" else span.name), attributes
    attributes["gen_ai.operation.name"] = operation
    return f"{operation} {span.name}", attributes


def _start_inference(span: Span, attributes: Attributes) -> tuple[str, Attributes]:
    metadata = span.metadata
    operation = _INFERENCE[span.kind]
    model = _text(metadata.get("ls_model_name"))
    provider = str(metadata.get("ls_provider") or "unknown")
    attributes["gen_ai.operation.name"] = operation
    attributes["gen_ai.provider.name"] = _PROVIDERS.get(provider, provider)
    _set(attributes, "gen_ai.request.model", model)
    _set(attributes, "gen_ai.conversation.id", _text(metadata.get("thread_id")))
    attributes.update(_request(span.details.get("options") or {}, metadata))
    return (f"{operation} {model}" if model else operation), attributes


def _request(options: Mapping[str, Any], metadata: Mapping[str, Any]) -> Attributes:
    # A temperature that the model was made with is in its metadata; the rest of that only it knows.
    given = {"temperature": metadata.get("ls_temperature"), **options}
    found: Attributes = {}
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        if _is_number(given.get(name)):
            found[f"gen_ai.request.{name}"] = float(given[name])
    for name in ("max_tokens", "seed", "top_k"):
        if _is_number(given.get(name)):
            found[f"gen_ai.request.{name}"] = int(given[name])
    stop = given.get("stop")
    if stop:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else [str(one) for one in stop]
    return found


def _place(span: Span) -> Attributes:
    """Where in a graph it is, in attributes of our own."""
    metadata, details = span.metadata, span.details
    found: Attributes = {"penstock.kind": span.kind}
    _set(found, "penstock.node", metadata.get("langgraph_node"))
    _set(found, "penstock.step", details.get("step", metadata.get("langgraph_step")))
    _set(found, "penstock.attempt", details.get("attempt"))
    _set(found, "penstock.task_id", details.get("task_id"))
    namespace = details.get("namespace")
    found_in = metadata.get("langgraph_checkpoint_ns") if namespace is None else "|".join(namespace)
    _set(found, "penstock.namespace", found_in or None)
    tags = [tag for tag in span.tags if not tag.startswith(_PLACES)]
    _set(found, "penstock.tags", tags or None)
    return found


# ---------------------------------------------------------------- at the end


def describe_output(span: Span, output: Any, *, content: bool) -> Attributes:
    """What is known once it has ended.

    Args:
        span: the span.
        output: what it gave.
        content: whether that is to be told as well.
    """
    found = dict(_response(output)) if is_inference(span) else {}
    if not content:
        return found
    if is_inference(span):
        message = message_in(output)
        if message is not None:
            found["gen_ai.output.messages"] = as_json([describe_message(message)])
    elif span.kind == "tool":
        found["gen_ai.tool.call.result"] = as_json(output.content if is_message(output) else output)
    else:
        found["penstock.output"] = as_json(output)
        if span.kind == "graph" and (messages := state_messages(output)):
            found["gen_ai.output.messages"] = as_json([describe_message(messages[-1])])
    return found


def describe_failure(span: Span, error: BaseException) -> Attributes:
    """What is known once it has failed, or has been cancelled."""
    found: Attributes = {}
    if is_inference(span):
        found["gen_ai.response.finish_reasons"] = ["error"]  # of both, says the convention
    if span.cancelled:
        found["penstock.cancelled"] = True
    else:
        cls = type(error)
        module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
        found["error.type"] = module + cls.__qualname__
    return found


def _response(output: Any) -> Iterator[tuple[str, Any]]:
    message = message_in(output)
    said = getattr(message, "response_metadata", None)
    said = said if isinstance(said, Mapping) else {}
    ident = said.get("id") or getattr(message, "id", None)
    if isinstance(ident, str) and not ident.startswith(("run-", "lc_")):  # not one that was made up here
        yield "gen_ai.response.id", ident
    model = said.get("model_name") or said.get("model")
    if isinstance(model, str):
        yield "gen_ai.response.model", model
    reason = said.get("finish_reason") or said.get("stop_reason")
    if reason:
        yield "gen_ai.response.finish_reasons", [str(reason)]
    yield from _usage(getattr(message, "usage_metadata", None))


_TOKENS = {
    "input_tokens": (),
    "output_tokens": (),
    "cache_read.input_tokens": ("input_token_details", "cache_read"),
    "cache_write.input_tokens": ("input_token_details", "cache_creation"),
    "reasoning.output_tokens": ("output_token_details", "reasoning"),
}


def _usage(usage: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(usage, Mapping):
        return
    for name, path in _TOKENS.items():
        found: Any = usage
        for key in path or (name,):
            found = found.get(key) if isinstance(found, Mapping) else None
        if _is_number(found):
            yield f"gen_ai.usage.{name}", int(found)


# ---------------------------------------------------------------- content


def describe_input(span: Span) -> Attributes:
    """What it was given, as far as that is known."""
    if not span.knows_input:
        return {}
    if is_inference(span):
        found = {"gen_ai.input.messages": as_json(input_messages(span.input))}
        tools = (span.details.get("options") or {}).get("tools")
        if tools:
            found["gen_ai.tool.definitions"] = as_json(tool_definitions(tools))
        return found
    if span.kind == "tool":
        return {"gen_ai.tool.call.arguments": as_json(span.input)}
    found = {"penstock.input": as_json(span.input)}
    if span.kind == "graph" and (messages := state_messages(span.input)):
        found["gen_ai.input.messages"] = as_json(input_messages(messages))
    return found


def _set(attributes: Attributes, name: str, value: Any) -> None:
    if value is not None:
        attributes[name] = value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

"""Opening a provider's model by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from penstock.errors import ModelSetupError, nearest

from ._chat_model import ChatModel

# Where the models of a provider are made. Imported when they are asked for: they need the provider's SDK.
_PROVIDERS = {
    "anthropic": "penstock.integrations.anthropic:AnthropicChatModel",
    "openai": "penstock.integrations.openai:OpenAIChatModel",
}
_GROUP = "penstock.models"
_BEGINNINGS = {
    "gpt-": "openai",
    "chatgpt-": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
}


def init_chat_model(
    model: str,
    *,
    model_provider: str | None = None,
    tags: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> ChatModel:
    """A chat model, by the name of its provider and its own.

    Args:
        model: such as `"openai:gpt-4o-mini"` or `"anthropic:claude-3-7-sonnet-latest"`. Without a provider, it is
            guessed of names that begin with `gpt-`, `o1`, `o3`, `o4` or `claude`.
        model_provider: the provider, for names that contain a colon of their own.
        tags: what the model's tokens can be filtered by; see `ChatModel.with_config`.
        metadata: added to what the tokens say of themselves.
        options: whatever the provider's model class takes: `base_url`, `api_key`, `temperature`, `max_tokens`,
            `timeout` in seconds, `max_retries`, ... With `base_url`, `openai:` speaks to any server with OpenAI's API.

    Returns:
        The model. Packages add providers through the entry point group `penstock.models`: the entry's name is the
        provider, its object is called with the model's name and the options.

    Raises:
        ModelSetupError: the provider is unknown, an option is unknown, or a key is missing.
        MissingExtraError: the provider's SDK is not installed.

    Example:
        ```python
        import pytest

        from penstock.errors import ModelSetupError
        from penstock.models import init_chat_model

        with pytest.raises(ModelSetupError, match="did you mean 'openai'"):
            init_chat_model("opnai:gpt-4o-mini")
        ```
    """
    if not model:
        raise ModelSetupError(f"expected the name of a model, such as 'openai:gpt-4o-mini', got {model!r}")
    provider, name = _split(model, model_provider)
    make = _factory(provider, model)
    try:
        made = make(name, **options)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ModelSetupError(f"cannot make {provider}:{name}: {error}") from error
    return made.with_config(tags=tags, metadata=metadata) if tags or metadata else made


def _split(model: str, provider: str | None) -> tuple[str, str]:
    if provider is not None:
        return provider, model.removeprefix(f"{provider}:")
    before, colon, after = model.partition(":")
    if colon and after:
        return before, after
    for beginning, guessed in _BEGINNINGS.items():
        if model.startswith(beginning):
            return guessed, model
    raise ModelSetupError(
        f"cannot tell the provider of {model!r}; write it in front, such as 'openai:{model}'. Known: "
        + ", ".join(map(repr, sorted({*_PROVIDERS, *_registered()})))
    )


def _registered() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group=_GROUP)}


def _factory(provider: str, model: str) -> Callable[..., ChatModel]:
    if provider in _PROVIDERS:
        module, _, name = _PROVIDERS[provider].partition(":")
        made: Callable[..., ChatModel] = getattr(import_module(module), name)
        return made
    registered = _registered()
    if provider in registered:
        loaded: Callable[..., ChatModel] = registered[provider].load()
        return loaded
    raise ModelSetupError(
        f"unknown provider {provider!r} in {model!r}; {nearest(provider, {*_PROVIDERS, *registered})}. A server with "
        "OpenAI's API is opened with 'openai:<model>' and base_url=; other providers come with packages that register "
        f"under the entry point group {_GROUP!r}"
    )

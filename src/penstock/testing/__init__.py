"""For tests of programs that use penstock: a scripted model, fake servers of providers, running tools alone.

Example:
    ```python
    from penstock.testing import ScriptedChatModel

    model = ScriptedChatModel(["Fine, thanks."])
    assert model.invoke("How are you?").text == "Fine, thanks."
    ```
"""

from __future__ import annotations

from ._capture import capture_writer
from ._http import FakeRequest, FakeServer, HangUp, HTTPFailure
from ._model import ScriptedCall, ScriptedChatModel
from ._script import ScriptedAnswer
from ._servers import FakeAnthropicServer, FakeOpenAIServer

__all__ = [
    "FakeAnthropicServer",
    "FakeOpenAIServer",
    "FakeRequest",
    "FakeServer",
    "HTTPFailure",
    "HangUp",
    "ScriptedAnswer",
    "ScriptedCall",
    "ScriptedChatModel",
    "capture_writer",
]

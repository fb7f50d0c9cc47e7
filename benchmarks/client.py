"""The runner's end of a worker process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Seat:
    """Who is measured on what, with which interpreter."""

    system: str
    backend: str
    python: str = sys.executable

    @property
    def label(self) -> str:
        return f"{self.system}/{self.backend}"


class Worker:
    """Starts with the first question; dies with ``close`` or with its pipe."""

    def __init__(self, seat: Seat, core: int | None, timeout: float) -> None:
        self.seat = seat
        self.timeout = timeout
        self._errors = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115  # closed in close()
        command = [seat.python, "-m", "benchmarks.worker", seat.system, seat.backend]
        if core is not None:
            command += ["--core", str(core)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )
        self._replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.greeting = self._reply()

    @property
    def absent(self) -> bool:
        """It started, and said that its system is not installed."""
        return "absent" in self.greeting

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(OSError):  # if it has died, the reply says how
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # unsent bytes of a question to the dead
                    pipe.close()
        self._errors.close()

    def _read(self) -> None:
        # a thread, because only POSIX can wait for a pipe with a timeout
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put("")

    def _reply(self) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=self.timeout)
        except queue.Empty:
            self._process.kill()
            self._process.wait()
            return {"error": f"no answer within {self.timeout:g} s"}
        if line:
            reply: dict[str, Any] = json.loads(line)
            return reply
        self._replies.put("")  # for whoever asks again
        return {"error": f"the worker died: {self._last_words()}"}

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.wait()}"


def environment() -> dict[str, str]:
    """What workers inherit: this package importable, bytecode cached, and nothing that calls home."""
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH")]))
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    variables |= {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "PYTHONHASHSEED": "0"}
    return variables

"""The peers' own environment: made once, then only used.  A peer that cannot be had is simply absent."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

PINS = Path(__file__).with_name("peers.txt")


def interpreter(place: Path, say: Callable[[str], None]) -> str:
    """The Python of the environment at ``place``: an interpreter, or a directory, made if missing."""
    if place.is_file():
        return str(place)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        say(f"creating an environment for the peers in {place}")
        venv.create(place, with_pip=True)
        install(str(python), say)
    return str(python)


def install(python: str, say: Callable[[str], None]) -> None:
    """All at once, or, if they do not go together or one cannot be had, one by one."""
    if _pip(python, ["--requirement", str(PINS)]):
        return
    for pin in pins():
        if not _pip(python, [pin]):
            say(f"{pin} could not be installed; it will be shown as absent")


def pins() -> list[str]:
    lines = (line.split("#")[0].strip() for line in PINS.read_text().splitlines())
    return [line for line in lines if line]


def _pip(python: str, arguments: list[str]) -> bool:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=sys.stderr).returncode == 0

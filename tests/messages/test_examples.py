"""Every example in the docstrings of the package runs, and importing it loads nothing that is optional."""

import inspect
import re
import subprocess
import sys
import textwrap

import pytest

import penstock.messages

FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)


def examples():
    texts = {"the package": penstock.messages.__doc__ or ""}
    for name in penstock.messages.__all__:
        thing = getattr(penstock.messages, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            texts[name] = inspect.getdoc(thing) or ""
        if inspect.isclass(thing):
            for key, member in vars(thing).items():
                if inspect.isfunction(member) and member.__doc__:
                    texts[f"{name}.{key}"] = inspect.getdoc(member) or ""
    return [pytest.param(code, id=name) for name, text in texts.items() for code in FENCED.findall(text)]


@pytest.mark.parametrize("code", examples())
def test_example(code: str) -> None:
    exec(compile(textwrap.dedent(code), "example", "exec"), {"__name__": "example"})


def test_importing_loads_no_third_party() -> None:
    code = (
        "import sys, penstock.messages;"
        "loaded = {m.split('.')[0] for m in sys.modules};"
        "print(sorted(loaded & {'pydantic', 'langchain_core', 'anyio', 'asyncio'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"

"""Making tools: the decorator, and accepting whatever can be one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias, overload, runtime_checkable

from ..errors import ToolDefinitionError
from ._output import ResponseFormat
from ._tool import Tool


@runtime_checkable
class ForeignTool(Protocol):
    """What a tool of another library, such as LangChain's, has in common with ours."""

    @property
    def name(self) -> str:
        """What the model calls it."""
        ...

    @property
    def description(self) -> str:
        """What the model is told about it."""
        ...

    @property
    def args_schema(self) -> Any:
        """What the model is to write."""
        ...

    def invoke(self, input: Any, config: Any = None, /) -> Any:
        """Call it from plain code."""
        ...

    async def ainvoke(self, input: Any, config: Any = None, /) -> Any:
        """Call it."""
        ...


ToolLike: TypeAlias = Tool | ForeignTool | Callable[..., Any]
"""Whatever is accepted as a tool: one of ours, one of LangChain's, or a function with a docstring."""


@overload
def tool(
    func: Callable[..., Any],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    args_schema: Any = None,
    return_direct: bool = False,
    response_format: ResponseFormat = "content",
    tags: Collection[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    parse_docstring: bool = True,
) -> Tool: ...


@overload
def tool(
    name_: str,
    func: Callable[..., Any],
    /,
    *,
    description: str | None = None,
    args_schema: Any = None,
    return_direct: bool = False,
    response_format: ResponseFormat = "content",
    tags: Collection[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    parse_docstring: bool = True,
) -> Tool: ...


@overload
def tool(
    name_: str | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    args_schema: Any = None,
    return_direct: bool = False,
    response_format: ResponseFormat = "content",
    tags: Collection[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    parse_docstring: bool = True,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(name_or_func: Any = None, func: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
    """Make a tool of a function: `@tool`, `@tool("name")` or `@tool(return_direct=True, ...)`.

    The model sees the function's name, its docstring, and a JSON schema of its parameters; an `Args:` section of the
    docstring, in Google's style, describes them. Parameters that the run fills in are hidden: those of type
    `RunnableConfig`, `StreamWriter` and `ToolRuntime`, and those marked with `Annotated[..., InjectedState]` and the
    like.

    Args:
        name_or_func: the function, or the tool's name.
        func: the function, after a name.
        name: what the model calls it; by default the name of the function.
        options: as for :class:`Tool`.

    Raises:
        ToolDefinitionError: a model could not call the function, or there is no description.

    Example:
        ```python
        from typing import Literal

        from penstock.tools import tool

        @tool
        def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
            \"\"\"Tell the weather of a city.

            Args:
                city: its name, in English.
            \"\"\"
            return f"24 {unit} in {city}"

        assert weather.args["city"] == {"type": "string", "description": "its name, in English."}
        assert weather.invoke({"city": "Rome"}) == "24 C in Rome"
        ```
    """
    if isinstance(name_or_func, str):
        if name is not None:
            raise ToolDefinitionError(f"tool got two names, {name_or_func!r} and {name!r}; give one")
        name, name_or_func = name_or_func, func
    elif func is not None:
        raise ToolDefinitionError(f"tool got {name_or_func!r} and {func!r}; expected a name and a function")
    if name_or_func is None:
        return lambda function: Tool(function, name=name, **options)
    return Tool(name_or_func, name=name, **options)


def is_foreign_tool(value: object) -> bool:
    """Whether something is a tool of another library, known by what it can do."""
    if isinstance(value, (type, Tool)) or not isinstance(getattr(value, "name", None), str):
        return False
    known = all(hasattr(value, attribute) for attribute in ("description", "args_schema"))
    return known and all(callable(getattr(value, method, None)) for method in ("invoke", "ainvoke"))


def as_tool(value: ToolLike) -> Tool | ForeignTool:
    """A tool as it is, ours or LangChain's; or a tool made of a function.

    Args:
        value: a tool, or a function with a docstring.

    Raises:
        ToolDefinitionError: it is neither.

    Example:
        ```python
        from penstock.tools import Tool, as_tool

        def double(n: int) -> int:
            \"\"\"Double a number.\"\"\"
            return 2 * n

        made = as_tool(double)
        assert isinstance(made, Tool)
        assert as_tool(made) is made
        ```
    """
    if isinstance(value, Tool):
        return value
    if is_foreign_tool(value):
        foreign: Any = value
        return foreign  # type: ignore[no-any-return]
    return Tool(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

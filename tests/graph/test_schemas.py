"""What a state can be made of: schema classes, reducers, private, input and output keys, managed values."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Annotated, Any, Generic, Optional, TypeVar

import pydantic
import pytest
from typing_extensions import NotRequired, ReadOnly, Required, TypedDict

from penstock.channels import BinaryOperatorAggregate, EphemeralValue, LastValue, Topic
from penstock.errors import EmptyInputError, GraphBuildError, GraphRecursionError, InvalidUpdateError
from penstock.graph import START, MessagesState, StateGraph
from penstock.managed import IsLastStep, ManagedValue, RemainingSteps, StepProgress
from penstock.messages import AIMessage, HumanMessage
from penstock.types import Command, Overwrite

from ._chain import chain, one_node

T = TypeVar("T")

# ---------------------------------------------------------------- TypedDict


class Qualified(TypedDict, total=False):
    a: NotRequired[Annotated[list[int], operator.add]]
    b: Annotated[NotRequired[list[int]], operator.add]
    c: Annotated[ReadOnly[Required[list[int]]], operator.add]
    d: Required[ReadOnly[Annotated[list[int], operator.add]]]
    e: Annotated[list[int], "any metadata before it", operator.add]
    f: Annotated[Required[Annotated[list[int], "inside"]], operator.add]
    g: Annotated[Annotated[list[int], "nested"], operator.add]


@pytest.mark.parametrize("key", ["a", "b", "c", "d", "e", "f", "g"])
def test_a_reducer_is_found_among_qualifiers_in_every_order(key: str) -> None:
    graph = one_node(Qualified, lambda _: {key: [1]})
    assert graph.invoke({key: [0]}) == {k: ([0, 1] if k == key else []) for k in "abcdefg"}
    assert graph.invoke({}) == {k: ([1] if k == key else []) for k in "abcdefg"}, "it starts at its type's zero"


class Plain(TypedDict):
    r: Required[str]
    n: NotRequired[str]
    o: ReadOnly[str]
    last: Annotated[list[int], operator.add, "the last metadata counts"]


def test_without_a_reducer_the_last_value_is_kept() -> None:
    graph = one_node(Plain, lambda _: {"r": "new", "last": [1]})
    assert graph.invoke({"r": "old", "n": "n", "last": [0]}) == {"r": "new", "n": "n", "last": [1]}


def test_a_key_that_was_never_written_is_absent() -> None:
    seen: list[Any] = []
    graph = one_node(Plain, seen.append)
    assert graph.invoke({"n": "n"}) == {"n": "n"}
    assert seen == [{"n": "n"}]


class Parent(TypedDict):
    log: Annotated[list[str], operator.add]
    text: str


class Child(Parent, total=False):
    extra: int


def test_inherited_keys_keep_their_reducers() -> None:
    graph = one_node(Child, lambda _: {"log": ["b"], "extra": 1})
    assert graph.invoke({"log": ["a"], "text": "t"}) == {"log": ["a", "b"], "text": "t", "extra": 1}


class Generic_(TypedDict, Generic[T]):
    item: T
    items: Annotated[list[T], operator.add]
    total: Annotated[T, operator.add]


class Bound(Generic_[int]):
    more: str


@pytest.mark.parametrize("schema", [Generic_, Generic_[int], Bound])
def test_a_generic_typeddict_is_a_schema_bare_bound_and_inherited(schema: Any) -> None:
    graph = one_node(schema, lambda _: {"item": 2, "items": [2], "total": 2})
    assert graph.invoke({"item": 1, "items": [1], "total": 1}) == {"item": 2, "items": [1, 2], "total": 3}


def test_a_bound_generic_starts_at_the_zero_of_what_it_is_bound_to() -> None:
    seen: list[Any] = []
    one_node(Generic_[int], seen.append).invoke({"item": 1})
    assert seen == [{"item": 1, "items": [], "total": 0}]


class Tree(TypedDict):
    children: list[Tree]
    later: Later
    maybe: Optional[Later]


class Later(TypedDict):
    n: int


def test_forward_references_and_recursive_schemas() -> None:
    graph = one_node(Tree, lambda s: {"later": {"n": len(s["children"])}})
    assert graph.invoke({"children": []}) == {"children": [], "later": {"n": 0}}


def test_functional_syntax_with_names_no_class_can_have() -> None:
    schema = TypedDict("schema", {"my-key": str, "list": Annotated[list[int], operator.add]})
    graph = one_node(schema, lambda _: {"my-key": "new", "list": [2]})
    assert graph.invoke({"my-key": "old", "list": [1]}) == {"my-key": "new", "list": [1, 2]}


def test_an_annotation_that_cannot_be_resolved_is_a_mistake() -> None:
    class Broken(TypedDict):
        x: Unknown  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(GraphBuildError, match=r"state_schema 'Broken': its annotations cannot be resolved.*Unknown"):
        StateGraph(Broken)


@pytest.mark.parametrize("schema", [dict, int, "State", None, {"x": str}, dict[str, Any], Parent(log=[], text="")])
def test_what_is_no_schema_is_refused_with_an_example(schema: Any) -> None:
    with pytest.raises(GraphBuildError, match=r"state_schema must be a TypedDict, a dataclass or a pydantic model"):
        StateGraph(schema)


@pytest.mark.parametrize("argument", ["input_schema", "output_schema"])
def test_input_and_output_schemas_are_checked_alike(argument: str) -> None:
    with pytest.raises(GraphBuildError, match=rf"{argument} must be a TypedDict.*got <class 'int'>"):
        StateGraph(Parent, **{argument: int})  # type: ignore[arg-type]


# ---------------------------------------------------------------- dataclass


@dataclasses.dataclass
class Data:
    a: int
    b: str = "default"
    c: Annotated[list[str], operator.add] = dataclasses.field(default_factory=lambda: ["made"])
    computed: int = dataclasses.field(init=False, default=0)


def test_a_dataclass_node_gets_an_instance_with_its_defaults() -> None:
    seen: list[Any] = []

    def node(state: Data) -> dict[str, Any]:
        seen.append(state)
        return {"a": state.a + 1}

    graph = one_node(Data, node)
    assert graph.invoke({"a": 1}) == {"a": 2, "c": []}, "what nobody wrote is absent; a reducer starts at its zero"
    assert seen == [Data(a=1, b="default", c=[])]


def test_a_dataclass_instance_as_input_and_as_update_writes_its_fields() -> None:
    graph = one_node(Data, lambda s: dataclasses.replace(s, a=s.a + 1, c=["node"]))
    assert graph.invoke(Data(1, c=["in"])) == {"a": 2, "b": "default", "c": ["in", "node"]}


def test_a_missing_required_field_is_the_dataclass_s_own_error() -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'a'"):
        one_node(Data, lambda s: None).invoke({"b": "only"})


@dataclasses.dataclass(frozen=True)
class Frozen(Generic[T]):
    item: T
    items: Annotated[tuple[T, ...], operator.add] = ()


@dataclasses.dataclass(frozen=True)
class FrozenChild(Frozen[int]):
    more: str = ""


@pytest.mark.parametrize("schema", [Frozen, Frozen[int], FrozenChild])
def test_frozen_generic_and_inherited_dataclasses(schema: Any) -> None:
    graph = one_node(schema, lambda s: {"item": s.item + 1, "items": (s.item,)})
    assert graph.invoke({"item": 1}) == {"item": 2, "items": (1,)}


# ---------------------------------------------------------------- pydantic


class Model(pydantic.BaseModel):
    a: int
    b: str = "default"
    c: Annotated[list[str], operator.add] = ["given"]
    d: Annotated[list[int], pydantic.Field(max_length=9), operator.add] = []


def test_pydantic_validates_and_coerces_what_a_node_gets() -> None:
    seen: list[Any] = []

    def node(state: Model) -> dict[str, Any]:
        seen.append(state)
        return {"a": state.a + 1, "c": ["node"]}

    graph = one_node(Model, node)
    assert graph.invoke({"a": "1", "c": ["in"]}) == {"a": 2, "c": ["in", "node"], "d": []}
    assert seen == [Model(a=1, c=["in"])]
    with pytest.raises(pydantic.ValidationError, match="valid integer"):
        graph.invoke({"a": "one"})


def test_a_pydantic_instance_as_input_and_as_update_writes_its_fields() -> None:
    graph = one_node(Model, lambda s: Model(a=s.a + 1, d=[2]))
    assert graph.invoke(Model(a=1, d=[1])) == {"a": 2, "b": "default", "c": ["given", "given"], "d": [1, 2]}


class GenericModel(pydantic.BaseModel, Generic[T]):
    item: T


class ModelChild(Model):
    e: Annotated[set[int], operator.or_] = set()


def test_generic_and_inherited_models() -> None:
    assert one_node(GenericModel[int], lambda s: {"item": s.item + 1}).invoke({"item": "1"}) == {"item": 2}
    child = one_node(ModelChild, lambda s: {"a": 2, "e": {2}, "c": ["x"]})
    assert child.invoke({"a": 1, "e": {1}}) == {"a": 2, "c": ["x"], "d": [], "e": {1, 2}}


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    text: str = pydantic.Field(alias="TEXT")


def test_the_keys_of_a_model_are_its_field_names() -> None:
    assert one_node(Aliased, lambda s: {"text": s.text + "!"}).invoke({"text": "hey"}) == {"text": "hey!"}


def test_schemas_of_different_kinds_mix() -> None:
    def node(state: Model) -> Data:
        return Data(a=state.a + 1)

    graph = StateGraph(Parent, input_schema=Data).add_node(node).add_edge(START, "node").compile()
    assert graph.invoke(Data(1), output_keys=["a", "c"]) == {"a": 2, "c": ["made", "made"]}


# ---------------------------------------------------------------- reducers


def keep_two(current: list[int], new: list[int]) -> list[int]:
    return (current + new)[-2:]


def with_default(current: list[int], new: list[int], limit: int = 2) -> list[int]:
    return (current + new)[-limit:]


class CallableReducer:
    def __call__(self, current: int, new: int) -> int:
        return current * 10 + new


class Reducers(TypedDict):
    add: Annotated[int, operator.add]
    function: Annotated[list[int], keep_two]
    default: Annotated[list[int], with_default]
    lambda_: Annotated[str, lambda a, b: f"{a}{b}"]
    partial: Annotated[list[int], functools.partial(with_default, limit=3)]
    callable_: Annotated[int, CallableReducer()]
    max_: Annotated[int, max]
    method: Annotated[set[int], set.union]
    or_: Annotated[dict[str, int], operator.or_]
    variadic: Annotated[int, lambda *both: sum(both)]


@pytest.mark.parametrize(
    ("key", "first", "second", "both"),
    [
        ("add", 1, 2, 3),
        ("function", [1, 2], [3], [2, 3]),
        ("default", [1, 2], [3], [2, 3]),
        ("lambda_", "a", "b", "ab"),
        ("partial", [1, 2], [3, 4], [2, 3, 4]),
        ("callable_", 1, 2, 12),
        ("max_", 5, 3, 5),
        ("method", {1}, {2}, {1, 2}),
        ("or_", {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ("variadic", 1, 2, 3),
    ],
)
def test_any_callable_that_takes_two_values_is_a_reducer(key: str, first: Any, second: Any, both: Any) -> None:
    assert one_node(Reducers, lambda _: {key: second}).invoke({key: first})[key] == both


def one_value(current: int) -> int:
    return current


def three_values(a: int, b: int, c: int) -> int:
    return a


def keyword(a: int, b: int, *, c: int) -> int:
    return a


@pytest.mark.parametrize("reducer", [one_value, three_values, keyword, lambda: 0])
def test_a_callable_that_cannot_take_two_values_is_refused(reducer: Any) -> None:
    schema = TypedDict("schema", {"key": Annotated[int, reducer]})
    with pytest.raises(GraphBuildError) as caught:
        StateGraph(schema)
    assert "state_schema 'schema', key 'key': reducer " in str(caught.value)
    assert reducer.__name__ in str(caught.value)
    assert "cannot be called with (current value, new value)" in str(caught.value)


class Starts(TypedDict):
    sequence: Annotated[Sequence[int], operator.add]
    mutable: Annotated[MutableSequence[int], operator.add]
    mapping: Annotated[Mapping[str, int], operator.or_]
    union: Annotated[int | str, operator.add]
    optional: Annotated[Optional[int], operator.add]
    model: Annotated[Model, lambda a, b: b]


def test_reducers_start_at_the_empty_value_of_their_type_if_there_is_one() -> None:
    seen: list[Any] = []
    graph = one_node(Starts, seen.append)
    graph.invoke({})
    assert seen == [{"sequence": [], "mutable": [], "mapping": {}}]
    graph = one_node(Starts, lambda _: {"union": "a", "optional": 2})
    assert graph.invoke({"union": "b", "optional": 1}, output_keys=["union", "optional"]) == {
        "union": "ba",
        "optional": 3,
    }
    assert graph.invoke({}, output_keys=["union", "optional"]) == {"union": "a", "optional": 2}


class Channels(TypedDict):
    topic: Annotated[list[int], Topic]
    kept: Annotated[list[int], Topic(int, accumulate=True)]
    ephemeral: Annotated[int, EphemeralValue]
    explicit: Annotated[int, BinaryOperatorAggregate(int, operator.add)]
    last: Annotated[int, LastValue]


def test_a_channel_can_be_given_instead_of_a_reducer() -> None:
    seen: list[Any] = []

    def first(_: Channels) -> Any:
        return {"topic": [1, 2], "kept": 3, "ephemeral": 4, "explicit": 5, "last": 6}

    builder = chain(Channels, first=first, second=lambda s: seen.append(s), third=lambda s: seen.append(s))
    builder.compile().invoke({"kept": [0], "explicit": 1})
    after_first = {"topic": [1, 2], "kept": [0, 3], "ephemeral": 4, "explicit": 6, "last": 6}
    assert seen == [after_first, {"kept": [0, 3], "explicit": 6, "last": 6}]


def test_two_writes_of_a_key_without_reducer_are_an_error_that_names_the_writers() -> None:
    builder = StateGraph(Parent).add_node("left", lambda _: {"text": "l"}).add_node("right", lambda _: {"text": "r"})
    graph = builder.add_edge(START, "left").add_edge(START, "right").compile()
    with pytest.raises(
        InvalidUpdateError, match=r"key 'text', written by 'left', 'right': got 2 values in one superstep"
    ):
        graph.invoke({"text": ""})


# ---------------------------------------------------------------- Overwrite


def test_overwrite_replaces_a_value_past_its_reducer() -> None:
    graph = one_node(Parent, lambda _: {"log": Overwrite(["new"]), "text": Overwrite("plain")})
    chunks = list(graph.stream({"log": ["old"], "text": "t"}, stream_mode=["updates", "values"]))
    assert chunks == [
        ("values", {"log": ["old"], "text": "t"}),
        ("updates", {"node": {"log": Overwrite(["new"]), "text": Overwrite("plain")}}),
        ("values", {"log": ["new"], "text": "plain"}),
    ]


def test_overwrite_wins_over_plain_writes_of_its_superstep() -> None:
    graph = one_node(Parent, lambda _: [{"log": Overwrite(["new"])}, {"log": ["lost"]}])
    assert graph.invoke({"log": ["old"]}) == {"log": ["new"]}


def test_overwrite_in_the_input() -> None:
    assert one_node(Parent, lambda _: {"log": ["b"]}).invoke({"log": Overwrite(["a"])}) == {"log": ["a", "b"]}


def test_two_overwrites_in_one_superstep_are_an_error() -> None:
    graph = one_node(Parent, lambda _: [{"log": Overwrite([])}, {"log": Overwrite([])}])
    with pytest.raises(InvalidUpdateError, match=r"key 'log', written by 'node': got 2 Overwrite values"):
        graph.invoke({"log": []})


# ---------------------------------------------------------------- input, output, private keys


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Both(Question, Answer):
    log: Annotated[list[str], operator.add]


class Private(TypedDict):
    draft: str
    log: Annotated[list[str], operator.add]


def write_draft(state: Question) -> Private:
    return {"draft": state["question"].upper(), "log": sorted(state)}


def answer(state: Private) -> dict[str, Any]:
    return {"answer": state["draft"] + "!", "log": sorted(state)}


def test_input_output_and_private_keys() -> None:
    builder = StateGraph(Both, input_schema=Question, output_schema=Answer)
    graph = builder.add_sequence([write_draft, answer]).add_edge(START, "write_draft").compile()
    given = {"question": "why", "answer": "no input", "draft": "neither"}
    assert graph.invoke(given) == {"answer": "WHY!"}
    *_, last = graph.stream(given, stream_mode="values")
    assert last == {"question": "why", "log": ["question", "draft", "log"], "answer": "WHY!", "draft": "WHY"}


def test_input_schema_of_a_node_says_what_it_sees() -> None:
    seen: list[Any] = []
    builder = StateGraph(Both).add_node("narrow", seen.append, input_schema=Answer).add_node("wide", seen.append)
    graph = builder.add_edge(START, "narrow").add_edge("narrow", "wide").compile()
    graph.invoke({"question": "q", "answer": "a"})
    assert seen == [{"answer": "a"}, {"question": "q", "answer": "a", "log": []}]


class Conflicting(TypedDict):
    log: Annotated[list[str], keep_two]


class Agreeing(TypedDict):
    log: list[str]


def test_schemas_must_agree_on_a_reducer() -> None:
    builder = StateGraph(Both).add_node("node", lambda s: None, input_schema=Conflicting).add_edge(START, "node")
    with pytest.raises(GraphBuildError, match=r"key 'log' has channel .* in 'Conflicting', but .* in 'Both'"):
        builder.compile()
    builder = StateGraph(Agreeing).add_node("node", lambda _: {"log": ["b"]}, input_schema=Both)
    assert builder.add_edge(START, "node").compile().invoke({"log": ["a"]}) == {"log": ["a", "b"]}


def test_an_input_without_known_keys_runs_the_entry_all_the_same() -> None:
    graph = one_node(Parent, lambda _: {"text": "ran"})
    assert list(graph.stream({}, stream_mode="values")) == [{"log": [], "text": "ran"}]
    assert graph.invoke({"unknown": 1}) == {"log": [], "text": "ran"}


@pytest.mark.parametrize("wrong", [[1], "text", 1, Parent, object()])
def test_an_input_of_a_wrong_type_is_refused_before_anything_runs(wrong: Any) -> None:
    graph = one_node(Parent, lambda _: pytest.fail("it ran"))
    with pytest.raises(
        InvalidUpdateError, match=r"the input is .*; expected a dict with keys of 'Parent'.*'log', 'text'"
    ):
        graph.stream(wrong)
    with pytest.raises(InvalidUpdateError):
        graph.invoke(wrong)


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(EmptyInputError, match=r"the input is None; expected a dict with keys of 'Parent'"):
        one_node(Parent, lambda _: None).stream(None)


def test_a_command_as_input_updates_and_chooses_where_to_start() -> None:
    builder = chain(Parent, first=lambda _: {"log": ["first"]}, second=lambda _: {"log": ["second"]})
    graph = builder.compile()
    assert graph.invoke(Command(update={"log": ["in"]})) == {"log": ["in", "first", "second"]}
    assert graph.invoke(Command(update=[("log", ["in"]), ("text", "t")]))["text"] == "t"


@pytest.mark.parametrize("update", [{"log": 5}, {"log": None}])
def test_what_a_reducer_raises_reaches_the_caller(update: Any) -> None:
    with pytest.raises(TypeError, match="concatenate"):
        one_node(Parent, lambda _: update).invoke({"log": []})


# ---------------------------------------------------------------- managed values


class DoubleStep(ManagedValue):
    @staticmethod
    def get(progress: StepProgress) -> int:
        return 2 * progress.step


class Managed(TypedDict):
    n: Annotated[int, operator.add]
    remaining: RemainingSteps
    last: NotRequired[IsLastStep]
    double: Annotated[int, DoubleStep]


def test_managed_values_are_computed_for_each_superstep() -> None:
    seen: list[Any] = []

    def node(state: Managed) -> dict[str, int]:
        seen.append(state)
        return {"n": 1}

    builder = StateGraph(Managed).add_node(node).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda s: "__end__" if s["last"] else "node", ["node", "__end__"])
    result = builder.compile().invoke({"n": 0, "remaining": 99}, {"recursion_limit": 4})
    assert result == {"n": 3}, "they are no state: neither input, output nor chunk has them"
    assert seen == [
        {"n": 0, "remaining": 3, "last": False, "double": 2},
        {"n": 1, "remaining": 2, "last": False, "double": 4},
        {"n": 2, "remaining": 1, "last": True, "double": 6},
    ]


def test_managed_values_in_dataclasses_and_private_schemas() -> None:
    @dataclasses.dataclass
    class State:
        n: int
        remaining: RemainingSteps

    seen: list[Any] = []
    schema = TypedDict("schema", {"n": int})
    builder = StateGraph(schema).add_node("node", seen.append, input_schema=_with_hints(State))
    builder.add_edge(START, "node").compile().invoke({"n": 1}, {"recursion_limit": 10})
    assert seen == [State(n=1, remaining=9)]


def _with_hints(cls: Any) -> Any:
    cls.__annotations__ = {"n": int, "remaining": RemainingSteps}
    return cls


def test_a_write_to_a_managed_value_is_ignored() -> None:
    graph = one_node(Managed, lambda _: {"remaining": 5, "n": 1})
    assert list(graph.stream({"n": 0}, stream_mode="updates")) == [{"node": {"n": 1}}]


def test_the_recursion_limit_leaves_the_supersteps_that_managed_values_promise() -> None:
    builder = StateGraph(Managed).add_node("node", lambda _: {"n": 1}).add_edge(START, "node").add_edge("node", "node")
    chunks: list[Any] = []
    with pytest.raises(GraphRecursionError, match=r"took 3 supersteps, its recursion_limit"):
        for chunk in builder.compile().stream({"n": 0}, {"recursion_limit": 3}):
            chunks.append(chunk)
    assert chunks == [{"node": {"n": 1}}] * 3


# ---------------------------------------------------------------- messages


class Chat(MessagesState):
    summary: str


def test_messages_state_appends_replaces_and_coerces() -> None:
    def node(state: Chat) -> dict[str, Any]:
        (first,) = state["messages"]
        assert isinstance(first, HumanMessage)
        return {"messages": [("ai", "hello"), {"role": "user", "content": "more"}], "summary": first.text}

    result = one_node(Chat, node).invoke({"messages": "hi"})
    assert [type(m) for m in result["messages"]] == [HumanMessage, AIMessage, HumanMessage]
    assert [m.content for m in result["messages"]] == ["hi", "hello", "more"]
    assert result["summary"] == "hi"
    assert all(m.id for m in result["messages"])


# ---------------------------------------------------------------- order of keys


def test_the_state_is_shown_in_the_order_of_its_schema() -> None:
    graph = one_node(Both, lambda _: {"question": "q"})
    assert [list(v) for v in graph.stream({"answer": "a"}, stream_mode="values")] == [
        ["answer", "log"],
        list(Both.__annotations__) if list(Both.__annotations__)[0] == "question" else ["question", "answer", "log"],
    ]

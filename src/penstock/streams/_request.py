"""What a caller asks a stream for, checked once at the door."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from ..errors import nearest
from ..types import Only, OnlyLike, Overflow, OverflowLike, StreamMode

MODES: tuple[StreamMode, ...] = get_args(StreamMode)
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

# Chunks that only inform. Everything else tells what the state is or how the run goes, and is never dropped.
DROPPABLE: frozenset[StreamMode] = frozenset({"custom", "messages", "tools"})

DEFAULT_HIGH_WATER_MARK = 64


@dataclass(frozen=True)
class Selection:
    """An `Only` with its fields made ready for lookups.

    Attributes:
        nodes: names of the wanted nodes, or None for all.
        paths: namespaces as paths of node names, or None for all.
        depth: deepest wanted level, or None for all.
        tags: wanted tags, or None for all.
    """

    nodes: frozenset[str] | None = None
    paths: frozenset[tuple[str, ...]] | None = None
    depth: int | None = None
    tags: frozenset[str] | None = None

    def graph(self, path: tuple[str, ...]) -> bool:
        """Whether chunks of the graph at this path of node names are wanted at all."""
        if self.depth is not None and len(path) > self.depth:
            return False
        return self.paths is None or path in self.paths

    def node(self, name: str, tags: Collection[str]) -> bool:
        """Whether chunks of this node are wanted, in a graph that is."""
        if self.nodes is not None and name not in self.nodes:
            return False
        return self.tags is None or not self.tags.isdisjoint(tags)


@dataclass(frozen=True)
class StreamRequest:
    """How one caller wants a run to be shown.

    Attributes:
        modes: what to build.
        printed: what to print as well, or only.
        tagged: whether each chunk comes with its mode.
        subgraphs: whether subgraphs are shown, and each chunk comes with its namespace.
        output_keys: what `values` and `updates` of the root graph are restricted to; a string for one bare value.
        version: shape of the chunks.
        only: which chunks to build, or None for all.
        high_water_mark: unread chunks per producer.
        overflow: policy of each mode that is not "wait".
    """

    modes: frozenset[StreamMode]
    printed: frozenset[StreamMode] = frozenset()
    tagged: bool = False
    subgraphs: bool = False
    output_keys: str | tuple[str, ...] | None = None
    version: Literal["v1", "v2"] = "v1"
    only: Selection | None = None
    high_water_mark: int = DEFAULT_HIGH_WATER_MARK
    overflow: Mapping[StreamMode, Overflow] | None = None

    def policy(self, mode: StreamMode) -> Overflow:
        """What happens to a chunk of this mode that finds its buffer full."""
        return "wait" if self.overflow is None else self.overflow.get(mode, "wait")

    @property
    def lossless(self) -> bool:
        """Whether no chunk is ever dropped or refused."""
        return not self.overflow


def parse_modes(argument: str, value: object) -> tuple[frozenset[StreamMode], bool]:
    """Read a `stream_mode`: the modes, and whether chunks are tagged with theirs.

    Raises:
        TypeError: neither a string nor a collection of strings.
        ValueError: an unknown mode; names the known ones and the nearest.
    """
    if isinstance(value, str):
        names: list[object] = [value]
    elif isinstance(value, Collection) and not isinstance(value, (bytes, Mapping)):
        names = list(value)
    else:
        raise TypeError(f"{argument} must be a mode or a collection of modes, got {value!r}")
    for name in names:
        if name not in MODES:
            raise ValueError(f"{argument}: there is no stream mode {name!r}; {nearest(name, MODES)}")
    return frozenset(cast("list[StreamMode]", names)), not isinstance(value, str)


def parse_overflow(value: OverflowLike) -> dict[StreamMode, Overflow] | None:
    """Read an `overflow` argument: the modes whose policy is not to wait.

    Raises:
        TypeError: neither a policy nor a mapping of modes to policies.
        ValueError: an unknown policy or mode, or a mode whose chunks are never dropped.
    """
    if isinstance(value, str):
        _check_policy(value)
        policies: dict[StreamMode, Overflow] = dict.fromkeys(DROPPABLE, value)
    elif isinstance(value, Mapping):
        policies = dict(value)
        for mode, policy in policies.items():
            if mode not in MODES:
                raise ValueError(f"overflow: there is no stream mode {mode!r}; {nearest(mode, MODES)}")
            _check_policy(policy)
            if policy != "wait" and mode not in DROPPABLE:
                raise ValueError(
                    f"overflow[{mode!r}] = {policy!r}: chunks of {mode!r} are never dropped; a policy can be "
                    f"chosen for {', '.join(map(repr, sorted(DROPPABLE)))}"
                )
    else:
        raise TypeError(f"overflow must be a policy or a dict of modes to policies, got {value!r}")
    return {m: p for m, p in policies.items() if p != "wait"} or None


def _check_policy(value: object) -> None:
    if value not in OVERFLOWS:
        raise ValueError(f"overflow: there is no policy {value!r}; {nearest(value, OVERFLOWS)}")


def parse_only(value: OnlyLike | None, known_nodes: Collection[str], *, subgraphs: bool = False) -> Selection | None:
    """Read an `only` argument.

    Args:
        value: as given by the caller.
        known_nodes: names of all nodes of the graph and its subgraphs as far as they are known.
        subgraphs: whether subgraphs are shown; a graph that a node calls can have nodes nobody knows yet, so then
            only names that look misspelt are refused.

    Raises:
        TypeError: not an `Only`, a mapping, a string or a collection of strings.
        ValueError: an unknown field, a negative depth, or a node nobody has.
    """
    if value is None:
        return None
    only = _as_only(value)
    if only.depth is not None and (isinstance(only.depth, bool) or not isinstance(only.depth, int)):
        raise TypeError(f"only.depth must be a whole number, got {only.depth!r}")
    if only.depth is not None and only.depth < 0:
        raise ValueError(f"only.depth must be at least 0 (the root graph), got {only.depth}")
    nodes = _strings("nodes", only.nodes)
    for name in sorted(nodes or ()):
        if name not in known_nodes and not (subgraphs and "did you mean" not in nearest(name, known_nodes)):
            raise ValueError(f"only.nodes: the graph has no node {name!r}; {nearest(name, known_nodes)}")
    paths = None
    if only.namespaces is not None:
        paths = _paths(only.namespaces)
    return Selection(nodes=nodes, paths=paths, depth=only.depth, tags=_strings("tags", only.tags))


def _as_only(value: OnlyLike) -> Only:
    if isinstance(value, Only):
        return value
    if isinstance(value, str):
        return Only(nodes=(value,))
    if isinstance(value, Mapping):
        known = [f.name for f in fields(Only)]
        for key in value:
            if key not in known:
                raise ValueError(f"only: there is no field {key!r}; {nearest(key, known)}")
        return Only(**value)
    if isinstance(value, Collection):
        return Only(nodes=value)
    raise TypeError(f"only must be an Only, a dict of its fields, or node names, got {value!r}")


def _strings(field: str, value: Collection[str] | None) -> frozenset[str] | None:
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else value
    if not _are_strings(names):
        raise TypeError(f"only.{field} must be strings, got {value!r}")
    return frozenset(names)


def _paths(value: Any) -> frozenset[tuple[str, ...]]:
    if isinstance(value, Collection) and not isinstance(value, str):
        paths = [(p,) if isinstance(p, str) else p for p in value]
        if all(_are_strings(p) for p in paths):
            return frozenset(tuple(p) for p in paths)
    raise TypeError(f"only.namespaces must be paths of node names, got {value!r}")


def _are_strings(value: object) -> bool:
    return isinstance(value, Collection) and all(isinstance(item, str) for item in value)


def parse_mark(value: Any) -> int:
    """Read a `high_water_mark`.

    Raises:
        TypeError: not a whole number.
        ValueError: less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"high_water_mark must be a whole number of chunks, got {value!r}")
    if value < 1:
        raise ValueError(f"high_water_mark must be at least 1 chunk, got {value}")
    return value

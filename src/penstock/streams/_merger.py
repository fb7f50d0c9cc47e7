"""The fan-in: every producer of a run writes into one bounded stream.

Theory of operation
-------------------
A *port* belongs to one producer, the *merger* to one consumer.  An item goes port -> stream -> consumer.  The stream
is a deque, and nothing ever waits inside of it.  (An anyio memory object stream of which only the `nowait` methods are
used is a deque, too, and made a chunk a quarter dearer.)  Waiting is done beside it:

* A port may have `high_water_mark` unread items in the stream, and the stream itself is bounded.  What exceeds
  either waits in the port's *lane*, a deque.  Each item the consumer takes makes room for one from a lane; ports
  with a lane are served round robin, so a firehose delays a quiet port by its mark at most.
* A port is *pressed* while it holds `high_water_mark` unread items or has a lane.  `await port` waits until the
  pressure is off, a node that writes without awaiting is held back by the throttle (see `_throttle`), a worker
  thread blocks in the call itself.
* The consumer waits on an event and takes the item afterwards, so that none is lost when it is cancelled in the tick
  in which one arrives.

A port whose policy drops chunks puts *tickets* into the stream and its chunks into a bounded deque; a
ticket is redeemed for the oldest chunk when the consumer takes it.  So the deque decides what is dropped, and the
order among producers is still the stream's.  Tickets have room of their own in the stream: ports that wait must
not crowd out those that never do.

Threads hand items over through one inbox and one posted callback per batch, and are blocked in the call while
their port is full.  With one exception: an async node can be waiting, synchronously, for its own threads, and then
blocking them would freeze the loop that has to make room.  So whoever waits outside of the loop asks it now and
then for a sign of life; from a loop that *stands still* nobody expects room.  (The thread that runs a sync node is
not asked to wait for anybody, and always waits.)

A producer on another loop, in a graph that was called synchronously, has a `RemotePort`.  It waits in its own loop,
by the same rule.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from threading import get_ident
from typing import Any, Protocol

import anyio
import anyio.lowlevel
from anyio import from_thread

from ..errors import StreamClosedError, StreamOverflowError
from ..types import Overflow
from ._backend import Wakeup, in_event_loop, loop_poster, loop_tools

# How many full producers the stream holds before their items wait in lanes.
STREAM_MARKS = 4

_TICKET: Any = object()


# Seconds between two looks of a blocked thread at whether its node was cancelled.
_CANCEL_POLL = 0.05

# Seconds without a sign of life after which a loop is taken to stand still, and between two that it is asked for.
_STANDS_STILL = 0.3


def check_cancelled() -> None:
    """Raise the cancellation of the node whose worker thread this is; nothing in any other thread."""
    with contextlib.suppress(RuntimeError):  # not a worker thread of anyio
        from_thread.check_cancelled()


# What awaiting gives when there is nothing to wait for: an iterator that is at its end. A generator would be made anew
# for every write that is awaited, and double the price of the await.
_NO_WAIT: Any = iter(())


class Receipt:
    """What a writer returns when there is nothing to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return _NO_WAIT  # type: ignore[no-any-return]


DONE = Receipt()


class Merger:
    """One consumer's bounded stream and the counters around it.

    Args:
        high_water_mark: unread items one port may hold before it is pressed.
    """

    __slots__ = (
        "_alive_until",
        "_asked_at",
        "_asked_loop",
        "_demand",
        "_goal",
        "_inbox",
        "_inbox_posted",
        "_ready",
        "_refill_at",
        "_ring",
        "admitting",
        "asking",
        "blocked_time",
        "capacity",
        "closed",
        "dropped",
        "high_water_mark",
        "in_lanes",
        "lock",
        "new_wakeup",
        "now",
        "peak",
        "ports",
        "post",
        "relay_port",
        "standing_still",
        "stream",
        "taken",
        "thread_id",
        "tickets",
    )

    def __init__(self, high_water_mark: int) -> None:
        self.high_water_mark: int = high_water_mark
        self.capacity: int = high_water_mark * STREAM_MARKS
        self._refill_at = high_water_mark // 2
        # Bounded by the ports: `capacity` items, the tickets extra.
        self.stream: deque[tuple[Port, Any]] = deque()
        self.in_lanes: int = 0
        self.tickets: int = 0
        self.peak: int = 0
        self.taken: int = 0
        self.dropped: int = 0
        self.blocked_time: float = 0.0
        self.closed: bool = False
        self.asking: bool = False
        self.admitting: bool = False
        self.ports: set[Port] = set()
        self.lock: threading.Lock = threading.Lock()
        self.thread_id: int = get_ident()
        self.post: Callable[[Callable[[], object]], None]
        self.new_wakeup: Callable[[], Wakeup]
        self.now: Callable[[], float]
        self.post, self.new_wakeup, self.now = loop_tools()
        self._ring: deque[Port] = deque()
        self._ready: Callable[[], object]
        self._asked_at = -1
        self._demand: Wakeup | None = None
        self._goal: int | None = None
        self._inbox: deque[tuple[Port, Any]] = deque()
        self._inbox_posted = False
        self.relay_port: Port | None = None
        self.standing_still: bool = False
        self._asked_loop: float | None = None
        self._alive_until = 0.0

    # ---------------------------------------------------------------- consumer

    def take(self) -> Any:
        """The next item; raises `anyio.WouldBlock` if there is none."""
        stream = self.stream
        try:
            port, item = stream.popleft()
        except IndexError:
            raise anyio.WouldBlock from None
        self.taken += 1
        unread = port.unread = port.unread - 1
        if item is _TICKET:
            item = port.kept.popleft()
            self.tickets -= 1
        # Also at the moment when its port is below the mark again, or that would stay pressed by the rest of its lane.
        if self._ring and (len(stream) <= self._refill_at or (unread == port.mark - 1 and port.lane)):
            self._refill()
        if unread <= port.low and (port._events or port._gates):
            port.release()
        if self._goal is not None and self.taken >= self._goal and self._demand is not None:
            self._demand.set()
        return item

    def _refill(self) -> None:
        """Move items from the lanes into the stream, one of each port in turn, the port that waits longest first.

        As many as there is room for: done for every item that is taken, this was a quarter of what a chunk costs.
        """
        ring, stream, idle = self._ring, self.stream, 0
        room = self.capacity - len(stream)
        while room > 0 and idle < len(ring):
            port = ring.popleft()
            lane = port.lane
            credit = port.mark - port.unread + len(lane)
            if credit <= 0:
                ring.append(port)
                idle += 1
                continue
            # Who waits alone need not take turns: a chunk of a burst then costs a tenth less.
            turn = 1 if ring else min(room, credit, len(lane))
            for _ in range(turn):
                stream.append(lane.popleft())
            self.in_lanes -= turn
            room -= turn
            idle = 0
            if lane:
                ring.append(port)
            else:
                port.flushed()

    async def wait(self) -> None:
        """Wait until there may be an item, or the stream was closed; asks the producers for more."""
        ready = self.new_wakeup()
        self.ask(ready.set)
        try:
            await ready.wait()
        finally:
            self.asking = False

    def ask(self, ready: Callable[[], object]) -> None:
        """Ask the producers for more; `ready` is called when the consumer should look again."""
        self._ready = ready
        self._asked_at = self.taken
        self.asking = True
        if self._demand is not None:
            self._demand.set()

    def wake(self) -> None:
        """Let a waiting consumer look again."""
        if self.asking:
            self._ready()

    def hold_reader(self) -> bool:
        """Do not wake the consumer before `free_reader`, within one turn of the loop; False if it is not waiting."""
        held, self.asking = self.asking, False
        return held

    def free_reader(self) -> None:
        """Wake the consumer, which is waiting, if there is something for it."""
        self.asking = True
        if self.stream or self.closed:
            self._ready()

    # ---------------------------------------------------------------- producers

    @property
    def in_stream(self) -> int:
        """How many items can be taken now."""
        return len(self.stream)

    @property
    def buffered(self) -> int:
        """How many items have been written and not been read."""
        return len(self.stream) + self.in_lanes

    @property
    def written(self) -> int:
        """How many items have been written so far, the unread ones included."""
        return self.taken + self.buffered

    async def demand(self) -> None:
        """Wait until the consumer has taken everything and asked for more; lets others run in any case.

        A consumer that has given up waiting since, on a timeout, has asked nevertheless: one that always gives up
        at once would never get anything.
        """
        if self._asked_at == self.taken and not self.stream and not self.in_lanes:
            await anyio.lowlevel.checkpoint()
            return
        while not self.closed:
            await self._demanded()
            if self._has_asked and not self.buffered:
                break
        # Whoever ends the run opens every gate: a gate that was open already is no cancellation point.
        await anyio.lowlevel.checkpoint_if_cancelled()

    @property
    def _has_asked(self) -> bool:
        return self._asked_at == self.taken

    async def taken_up_to(self, goal: int) -> None:
        """Wait until the consumer has taken that many items in all."""
        self._goal = goal
        try:
            while not self.closed and self.taken < goal:
                await self._demanded()
        finally:
            self._goal = None
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def _demanded(self) -> None:
        self._demand = self.new_wakeup()
        try:
            await self._demand.wait()
        finally:
            self._demand = None

    def queue(self, port: Port) -> None:
        """Serve a port's lane from now on; called when the lane gets its first item."""
        self._ring.append(port)

    def relay(self) -> Port:
        """The port for everything that comes from runs on other loops.

        The order among them is that of their writing, kept by one lane for all of them.
        """
        with self.lock:
            if self.relay_port is None:
                self.relay_port = Port(self)
            return self.relay_port

    def from_thread(self, port: Port, item: Any) -> bool:
        """Hand over an item from another thread; the lock is held. True if `drain_inbox` must be posted."""
        self._inbox.append((port, item))
        first, self._inbox_posted = not self._inbox_posted, True
        return first

    def stands_still(self) -> bool:
        """Whether the loop shows no sign of life; for those who wait for it in other threads, again and again."""
        now = time.monotonic()
        with self.lock:
            if self._asked_loop is not None:
                self.standing_still = self.standing_still or now - self._asked_loop > _STANDS_STILL
                return self.standing_still
            if now < self._alive_until:
                return False
            self._asked_loop = now
        try:
            self.post(self._shows_life)
        except RuntimeError:  # it has ended
            return True
        return False

    def stand_still_here(self) -> None:
        """The loop of this thread is going to wait, synchronously, for another one; does nothing if it is not ours."""
        if get_ident() != self.thread_id:
            return
        with self.lock:
            self.standing_still = True
            self._asked_loop = time.monotonic()
        self.post(self._shows_life)

    def _shows_life(self) -> None:
        with self.lock:
            self.standing_still = False
            self._asked_loop = None
            self._alive_until = time.monotonic() + _STANDS_STILL

    @property
    def has_inbox(self) -> bool:
        """Whether threads have handed over items that are not in the stream yet."""
        return bool(self._inbox)

    def drain_inbox(self) -> None:
        """Put what the threads have handed over so far into the stream."""
        with self.lock:
            self._inbox_posted = False
        inbox = self._inbox
        self.admitting = True
        # What comes in meanwhile is posted anew: a thread that writes faster than this must not keep the loop here.
        for _ in range(len(inbox)):
            port, item = inbox.popleft()
            if not self.closed:
                port.put(item)
            # Only now: between the two a thread must rather count an item twice than not at all.
            with self.lock:
                port.in_inbox -= 1
        self.admitting = False

    def close(self) -> None:
        """Drop what is unread, open every gate, refuse what is still written."""
        with self.lock:
            self.closed = True
        for port in [*self.ports, *self._ring]:
            port.close(aborted=True)
        self._ring.clear()
        self.stream.clear()
        self.in_lanes = 0
        if self._demand is not None:
            self._demand.set()
        self.wake()


class Gate(Protocol):
    """What somebody in another thread waits at; a lock, or a `_Turn`."""

    def release(self) -> None: ...


class _Turn:
    """A gate for a task on another loop."""

    __slots__ = ("_event", "_post")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._post = loop_poster()

    def release(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self._post(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


class Clock(Protocol):
    """Something that stands still while the reader holds a producer back, which it does only until `over`."""

    @property
    def over(self) -> bool: ...
    @property
    def timed(self) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Port:
    """One producer's end of a merger; calling it writes an item, awaiting it waits while it is pressed.

    Args:
        merger: where the items go.
        policy: what happens to an item that finds the port pressed.
        blocking: whether threads that write wait in any case; the others do not for a loop that stands still.
        shape: turns what the writer is given into the item the consumer gets.
    """

    __slots__ = (
        "_events",
        "_gates",
        "aborted",
        "blocking",
        "clock",
        "closed",
        "in_inbox",
        "kept",
        "lane",
        "lossy",
        "low",
        "mark",
        "merger",
        "plain",
        "policy",
        "shape",
        "unread",
    )

    def __init__(
        self,
        merger: Merger,
        policy: Overflow = "wait",
        *,
        blocking: bool = False,
        shape: Callable[[Any], Any] | None = None,
    ) -> None:
        self.merger: Merger = merger
        self.policy: Overflow = policy
        self.lossy: bool = policy not in ("wait", "raise")
        self.blocking: bool = blocking
        self.shape: Callable[[Any], Any] | None = shape
        self.mark: int = merger.high_water_mark
        self.low: int = self.mark // 2
        self.unread: int = 0
        self.in_inbox: int = 0
        # A writer may be asked for only when its node cleans up.
        self.closed: bool = merger.closed
        self.aborted: bool = merger.closed
        # Open, and a chunk is neither refused nor dropped.
        self.plain: bool = policy == "wait" and not merger.closed
        self.clock: Clock | None = None
        self.lane: deque[tuple[Port, Any]] = deque()  # for the stream
        self.kept: deque[Any] = deque()  # for the tickets
        self._events: list[Wakeup] = []
        self._gates: list[Gate] = []
        if not merger.closed:
            merger.ports.add(self)

    # ---------------------------------------------------------------- writing

    def __call__(self, chunk: Any) -> Port | Receipt:
        shape = self.shape
        return self.write(chunk if shape is None else shape(chunk))

    def write(self, item: Any) -> Port | Receipt:
        """Write an item as it is, from any thread; otherwise like a call."""
        merger = self.merger
        if not self.plain or merger._inbox or get_ident() != merger.thread_id:
            return self._write_with_care(item)
        # From here on what `put` does. Said twice, because most chunks come this way, and one costs a tenth less.
        unread = self.unread = self.unread + 1
        stream, lane = merger.stream, self.lane
        in_stream = len(stream)
        buffered = in_stream + merger.in_lanes + 1
        if buffered > merger.peak:  # noqa: PLR1730
            merger.peak = buffered
        if lane or unread > self.mark or in_stream >= merger.capacity:
            if not lane:
                merger.queue(self)
            lane.append((self, item))
            merger.in_lanes += 1
            return self
        stream.append((self, item))
        if merger.asking:
            merger._ready()
        return self

    def _write_with_care(self, item: Any) -> Port | Receipt:
        merger = self.merger
        if get_ident() != merger.thread_id:
            return self._write_from_thread(item)
        if self.closed:
            self._refuse()
            return DONE
        if merger._inbox:  # a thread of this producer may have written before
            merger.drain_inbox()
        self.put(item)
        return self

    def put(self, item: Any) -> None:
        """Write an item as it is, in the loop's thread; never waits."""
        if self.policy != "wait" and not self._make_room(item):
            return
        merger = self.merger
        self.unread += 1
        merger.peak = max(merger.peak, merger.buffered + 1)
        if self.lossy:
            self.kept.append(item)
            item = _TICKET
            merger.tickets += 1
        elif self.lane or self.unread > self.mark or len(merger.stream) >= merger.capacity:
            if not self.lane:
                merger.queue(self)
            self.lane.append((self, item))
            merger.in_lanes += 1
            return
        merger.stream.append((self, item))
        if merger.asking:
            merger._ready()

    def _make_room(self, item: Any) -> bool:
        """Apply the policy to an item; False if the item is not to be put."""
        merger = self.merger
        policy = self.policy
        if policy == "raise":
            if self.unread < self.mark or merger.admitting:  # what threads hand over was let in there
                return True
            raise self._overflow(self.unread)
        limit = 1 if policy == "latest" else self.mark
        # Ports that have ended may leave a stream full of tickets; one that is open may always have one.
        room = merger.capacity if self.unread else merger.capacity + len(merger.ports)
        if self.unread < limit and merger.tickets < room:
            return True
        merger.dropped += 1
        if policy != "drop_newest" and self.kept:
            self.kept.popleft()
            self.kept.append(item)
        return False

    def _overflow(self, unread: int) -> StreamOverflowError:
        return StreamOverflowError(
            f"{unread} chunks of this node are unread, and the run has overflow='raise' with a high-water mark of "
            f"{self.mark}; read faster, raise high_water_mark, or use overflow='wait'"
        )

    def _refuse(self) -> None:
        if self.aborted:
            return
        raise StreamClosedError(
            "the stream writer was used after its node had ended; write before the node returns, or await the "
            "tasks that write"
        )

    # ---------------------------------------------------------------- waiting

    @property
    def pressed(self) -> bool:
        """Whether a write should wait now."""
        if self.closed or self.policy != "wait" or not (self.lane or self.unread + self.in_inbox >= self.mark):
            return False
        if self.merger.standing_still and get_ident() != self.merger.thread_id:
            return False
        return self.clock is None or not self.clock.over

    @property
    def pending(self) -> bool:
        """Whether items wait outside of the stream, so that a later port could overtake them."""
        return bool(self.lane) and not self.merger.closed

    @property
    def waiting(self) -> bool:
        """Whether a task or thread waits for this port."""
        return bool(self._events or self._gates)

    def __await__(self) -> Generator[Any, Any, None]:
        # The first half of what `pressed` asks. Said twice: nearly every write that is awaited ends here.
        if not self.lane and self.unread + self.in_inbox < self.mark:
            return _NO_WAIT  # type: ignore[no-any-return]
        return self._relieved().__await__() if self.pressed else _NO_WAIT

    async def _relieved(self) -> None:
        merger = self.merger
        now = merger.now if get_ident() == merger.thread_id else anyio.current_time
        started = now()
        if self.clock is not None:
            self.clock.pause()
        try:
            while self.pressed:
                await self._woken()
        finally:
            if self.clock is not None:
                self.clock.resume()
            merger.blocked_time += now() - started

    async def flush(self) -> None:
        """Wait until nothing of this port waits outside of the stream."""
        if self.clock is not None:
            self.clock.pause()
        try:
            while self.pending:
                await self._woken()
        finally:
            if self.clock is not None:
                self.clock.resume()

    async def _woken(self) -> None:
        if get_ident() != self.merger.thread_id:
            await self._woken_elsewhere()
            return
        event = self.merger.new_wakeup()
        self._events.append(event)
        try:
            await event.wait()
        finally:
            if event in self._events:
                self._events.remove(event)

    async def _woken_elsewhere(self) -> None:
        merger, carrier, turn = self.merger, self._carrier, _Turn()
        with merger.lock:
            carrier._gates.append(turn)
        try:
            # Only now: the loop looks at the gates after it has made room.
            while self.pressed and not merger.stands_still():
                with anyio.move_on_after(_CANCEL_POLL):
                    await turn.wait()
                    return
        finally:
            with merger.lock:
                if turn in carrier._gates:
                    carrier._gates.remove(turn)

    def release(self) -> None:
        """Wake whoever waits for this port."""
        events, self._events = self._events, []
        for event in events:
            event.set()
        if self._gates:
            self._release_threads()

    def _release_threads(self) -> None:
        with self.merger.lock:
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    def flushed(self) -> None:
        """The last item of the lane has gone into the stream."""
        if self._events:
            self.release()

    def close(self, *, aborted: bool = False) -> None:
        """Refuse writes from now on; what was written is still delivered.

        Args:
            aborted: the producer was cancelled: its cleanup code may write, silently into nowhere, and its threads
                unwind at their next write.
        """
        if self.closed and (self.aborted or not aborted):  # by whoever cancelled the producer
            return
        self.aborted = self.aborted or aborted
        self.closed = True
        self.plain = False
        self.merger.ports.discard(self)
        self.release()

    # ---------------------------------------------------------------- threads

    @property
    def _carrier(self) -> Port:
        """The port that takes this one's items into the stream."""
        return self

    def _write_from_thread(self, item: Any) -> Port | Receipt:
        merger, carrier = self.merger, self._carrier
        on_loop = in_event_loop()  # another one; it waits by awaiting
        post = False
        while True:
            with merger.lock:
                if self.closed or merger.closed:
                    break
                unread = carrier.unread + carrier.in_inbox
                full = unread >= self.mark
                if full and self.policy == "raise":
                    raise self._overflow(unread)
                if not full or self.policy != "wait" or on_loop or (merger.standing_still and not self.blocking):
                    carrier.in_inbox += 1
                    post = merger.from_thread(carrier, item)
                    turn = None
                else:
                    turn = threading.Lock()
                    turn.acquire()
                    carrier._gates.append(turn)
            if turn is None:
                self._handed_over(unread + 1)
                if post:
                    self._post(merger.drain_inbox)
                return self if on_loop else DONE
            # The loop looks for waiting threads after it has changed `unread`, this side looks at `unread` after it
            # has registered: whichever comes second sees the other.
            if carrier.unread + carrier.in_inbox < self.mark or self.closed:
                carrier._release_threads()
            self._wait_in_thread(turn)
        self._stopped_in_thread()
        return DONE

    def _handed_over(self, unread: int) -> None:
        """An item has gone to the carrier, which now has that many."""

    def _wait_in_thread(self, turn: threading.Lock) -> None:
        started = time.monotonic()
        clock = self.clock if self.clock is not None and self.clock.timed else None
        if clock is not None:
            self._post_home(clock.pause)
        try:
            # A cancel scope somewhere above the node reaches its thread only if the thread asks.
            while not turn.acquire(timeout=_CANCEL_POLL):
                check_cancelled()
                if self.aborted or (not self.blocking and self.merger.stands_still()):
                    break
        finally:
            with self.merger.lock:
                self.merger.blocked_time += time.monotonic() - started
            if clock is not None:
                self._post_home(clock.resume)

    def _post_home(self, fn: Callable[[], object]) -> None:
        """Call something in the loop of the producer."""
        self._post(fn)

    def _post(self, fn: Callable[[], object]) -> None:
        try:
            self.merger.post(fn)
        except RuntimeError as error:
            raise StreamClosedError("the run's event loop has ended; nobody can read this chunk") from error

    def _stopped_in_thread(self) -> None:
        """A worker thread of a cancelled run unwinds at its next write; any other thread is told."""
        check_cancelled()
        if not self.merger.closed:
            self._refuse()
        if self._is_unreached:
            return
        raise StreamClosedError("the run of this stream writer is over; nobody can read this chunk")

    @property
    def _is_unreached(self) -> bool:
        """Whether the cancellation that closed the stream may not have reached the producer yet."""
        return False


class RemotePort(Port):
    """The port of a producer on another loop than the merger's.

    What it writes goes through one port for all such producers, and they wait for room in that.

    Args:
        merger: where the items go.
        home: posts a callback to the producer's loop.
        policy: as for any port.
        shape: as for any port.
    """

    __slots__ = ("_home", "_relay")

    def __init__(
        self,
        merger: Merger,
        home: Callable[[Callable[[], object]], None],
        policy: Overflow = "wait",
        *,
        shape: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(merger, policy, shape=shape)
        self._relay = merger.relay()
        self._home = home

    @property
    def _carrier(self) -> Port:
        return self._relay if self.policy == "wait" else self

    @property
    def pressed(self) -> bool:
        relay = self._relay
        if self.closed or self.policy != "wait" or relay.unread + relay.in_inbox < self.mark:
            return False
        if self.merger.standing_still:
            return False
        return self.clock is None or not self.clock.over

    def __await__(self) -> Generator[Any, Any, None]:
        return self._relieved().__await__() if self.pressed else _NO_WAIT

    @property
    def pending(self) -> bool:
        return self.pressed

    async def flush(self) -> None:
        await self

    def _handed_over(self, unread: int) -> None:
        if self.policy == "wait":
            self.unread = unread  # for the throttle, which looks at this first

    def _post_home(self, fn: Callable[[], object]) -> None:
        self._home(fn)

    @property
    def _is_unreached(self) -> bool:
        return True

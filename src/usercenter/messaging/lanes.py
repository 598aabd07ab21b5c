"""The lanes that a runner holds in memory: a few waiting tasks of each, in order, and which lanes are taken.

Bounded on purpose: a user with a hundred thousand tasks has no more of them here than anybody else, and a lane that was
served goes to the end of the queue. Of those that are suspected of ending their process one at a time is in hand, so
the next end costs no other suspect an attempt. The table `tasks` is the truth; whatever is dropped here is found there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice

from usercenter.messaging.shards import shard_of
from usercenter.messaging.tasks import Lane


class Lanes:
    """Waiting positions by lane. A lane is taken from before its first task is claimed until the end is noted."""

    def __init__(self, *, per_lane: int, most_taken: Callable[[str], int | None] = lambda handler: None) -> None:
        """`most_taken` says how many lanes of a handler may be taken at a time; None for any number."""
        self._per_lane = per_lane
        self._most_taken = most_taken
        self._free: dict[Lane, list[int]] = {}  # lists, for most have one position: a deque takes 760 bytes for it
        self._taken: dict[Lane, list[int]] = {}
        self._suspects: set[Lane] = set()
        """Lanes whose first task is suspected."""

    @property
    def free(self) -> int:
        """How many lanes are not taken."""
        return len(self._free)

    @property
    def taken(self) -> int:
        """How many lanes are taken."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """How many positions are held."""
        return sum(map(len, self._free.values())) + sum(map(len, self._taken.values()))

    def known(self) -> list[Lane]:
        """Every lane that is held, free or taken."""
        return [*self._free, *self._taken]

    def has(self, lane: Lane) -> bool:
        """Whether it is held."""
        return lane in self._free or lane in self._taken

    def held(self) -> Counter[str]:
        """How many positions of each handler are held, with those in hand."""
        found = self._taken_of()
        for lanes in (self._free, self._taken):
            for lane, queue in lanes.items():
                found[lane[0]] += len(queue)
        return found

    def ready(self, number: int, shards: AbstractSet[int]) -> int:
        """How many lanes of these shards could be taken now; counted up to this number."""
        return sum(1 for _ in islice(self._ready(shards), max(0, number)))

    def offer(self, lane: Lane, position: int, *, is_suspect: bool = False) -> bool:
        """Hold one more position at the end of its lane, unless the lane has enough; says whether."""
        queue = self._taken.get(lane)
        if queue is None:
            queue = self._free.setdefault(lane, [])
        if is_suspect and not queue and lane in self._free:
            self._suspects.add(lane)
        if len(queue) >= self._per_lane:
            return False
        queue.append(position)
        return True

    def take(self, number: int, shards: AbstractSet[int]) -> dict[int, Lane]:
        """Take up to so many free lanes of these shards; returns the first position of each."""
        heads: dict[int, Lane] = {}
        for lane in list(islice(self._ready(shards), max(0, number))):
            queue = self._free.pop(lane)
            heads[queue.pop(0)] = lane
            self._taken[lane] = queue
        return heads

    def _ready(self, shards: AbstractSet[int]) -> Iterator[Lane]:
        ours = (lane for lane in self._free if shard_of(lane[1]) in shards)
        return self._one_suspect_of(self._within_limits(ours))

    def _within_limits(self, lanes: Iterable[Lane]) -> Iterator[Lane]:
        """Those that may be taken beside the others of their handler."""
        taken = self._taken_of()
        for lane in lanes:
            most = self._most_taken(lane[0])
            if most is None:
                yield lane
            elif taken[lane[0]] < most:
                taken[lane[0]] += 1
                yield lane

    def _taken_of(self) -> Counter[str]:
        return Counter(handler for handler, _ in self._taken)

    def _one_suspect_of(self, lanes: Iterable[Lane]) -> Iterator[Lane]:
        """All of them but suspects; of those the first, if none is in hand."""
        has_suspect = not self._suspects.isdisjoint(self._taken)
        for lane in lanes:
            if lane not in self._suspects:
                yield lane
            elif not has_suspect:
                has_suspect = True
                yield lane

    def release(self, lane: Lane) -> None:
        """The lane's first task is done: the next one may be taken, after those of other lanes."""
        self._suspects.discard(lane)
        queue = self._taken.pop(lane, None)
        if queue:
            self._free[lane] = queue

    def drop(self, lanes: Iterable[Lane]) -> None:
        """Forget these lanes, taken or not, and what waits in them."""
        for lane in lanes:
            self._free.pop(lane, None)
            self._taken.pop(lane, None)
            self._suspects.discard(lane)

    def drop_free(self, is_unwanted: Callable[[str], bool]) -> None:
        """Forget the free lanes of these handlers."""
        self.drop([lane for lane in self._free if is_unwanted(lane[0])])

    def keep_only(self, shards: AbstractSet[int]) -> None:
        """Forget the free lanes of other shards."""
        self.drop([lane for lane in self._free if shard_of(lane[1]) not in shards])

    def busy_shards(self) -> set[int]:
        """The shards of the taken lanes."""
        return {shard_of(user_id) for _, user_id in self._taken}

"""The lanes that a runner holds in memory: a few waiting tasks of each, in order, and which lanes are taken.

Bounded on purpose: a user with a hundred thousand tasks has no more of them here than anybody else, and a lane that was
served goes to the end of the queue. Of those that are suspected of ending their process one at a time is in hand, so
the next end costs no other suspect an attempt. The table `tasks` is the truth; whatever is dropped here is found there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice

from usercenter.messaging.shards import shard_of
from usercenter.messaging.tasks import Lane


class Lanes:
    """Waiting positions by lane. A lane is taken from before its first task is claimed until the end is noted."""

    def __init__(self, *, per_lane: int) -> None:
        self._per_lane = per_lane
        self._free: dict[Lane, deque[int]] = {}
        self._taken: dict[Lane, deque[int]] = {}
        self._suspects: set[Lane] = set()
        """Lanes whose first task is suspected."""

    @property
    def free(self) -> int:
        """How many lanes could be taken now."""
        waiting = len(self._suspects & self._free.keys())
        return len(self._free) - waiting + (waiting > 0 and not self._has_suspect_in_hand)

    @property
    def _has_suspect_in_hand(self) -> bool:
        return not self._suspects.isdisjoint(self._taken)

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

    def offer(self, lane: Lane, position: int, *, is_suspect: bool = False) -> None:
        """Hold one more position at the end of its lane, unless the lane has enough."""
        queue = self._taken.get(lane)
        if queue is None:
            queue = self._free.setdefault(lane, deque())
        if is_suspect and not queue and lane in self._free:
            self._suspects.add(lane)
        if len(queue) < self._per_lane:
            queue.append(position)

    def take(self, number: int, shards: AbstractSet[int]) -> dict[int, Lane]:
        """Take up to so many free lanes of these shards; returns the first position of each."""
        heads: dict[int, Lane] = {}
        ours = (lane for lane in self._free if shard_of(lane[1]) in shards)
        for lane in list(islice(self._one_suspect_of(ours), max(0, number))):
            queue = self._free.pop(lane)
            heads[queue.popleft()] = lane
            self._taken[lane] = queue
        return heads

    def _one_suspect_of(self, lanes: Iterable[Lane]) -> Iterator[Lane]:
        """All of them but suspects; of those the first, if none is in hand."""
        has_suspect = self._has_suspect_in_hand
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

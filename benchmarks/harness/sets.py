"""Sets of arguments that calls take in turn, so that no call finds its own in the cache; with a copy to compare to."""

from __future__ import annotations

from collections.abc import Iterable

from . import bits
from .contract import Array, Arrays, Case, Family
from .places import HostPlace

FEWEST, MOST = 3, 64
# A set is there twice (to compare and to restore), and once more as results; as much again stays free for workspace.
COPIES = 3
SHARE_OF_MEMORY = 0.5


def how_many(set_bytes: int, cache_bytes: int, free_bytes: int) -> int:
    """More than twice the cache together, and at least three, as far as memory goes; three of what is too small."""
    wanted = max(FEWEST, 2 * cache_bytes // max(set_bytes, 1) + 1)
    wanted = wanted if wanted <= MOST else FEWEST
    room = int(SHARE_OF_MEMORY * free_bytes) // max(COPIES * set_bytes, 1)
    return max(1, min(wanted, room))


class Sets:
    """The arguments of every contender."""

    def __init__(self, family: Family, case: Case, place: HostPlace) -> None:
        self._fresh = lambda: family.inputs(case, place)
        self.changed = tuple(family.changed)
        first = self._fresh()
        self.set_bytes = sum(x.nbytes for x in first.values())
        count = how_many(max(self.set_bytes, case.bytes), place.cache_bytes, place.free_bytes())
        self.arrays: list[Arrays] = [first, *(self._fresh() for _ in range(count - 1))]
        self._kept: list[Arrays] = [{name: bits.copy(x) for name, x in each.items()} for each in self.arrays]
        self.cold = len(self.arrays) * max(self.set_bytes, case.bytes) > 2 * place.cache_bytes

    def __len__(self) -> int:
        return len(self.arrays)

    def before(self, turn: int) -> Arrays:
        """What a set held before any call."""
        return self._kept[turn]

    def restore_changed(self) -> None:
        """Undoes what calls change by their nature."""
        for now, kept in zip(self.arrays, self._kept, strict=True):
            for name in self.changed:
                bits.assign(now[name], kept[name])

    def restore(self) -> None:
        """Undoes everything."""
        for now, kept in zip(self.arrays, self._kept, strict=True):
            for name, x in now.items():
                bits.assign(x, kept[name])

    def spoiled(self, turns: Iterable[int], most: int = 0) -> str:
        """The name of an argument of these sets that a call had no business to change, "" where there is none.

        With `most` no more than about so many elements of each are looked at, another choice each time.
        """
        for turn in set(turns):
            for name, x in self.arrays[turn].items():
                if name not in self.changed and not bits.equal(*bits.some(x, self._kept[turn][name], most)):
                    return name
        return ""

    def refill(self, turn: int) -> None:
        """Fresh numbers into the memory of one set."""
        for name, x in self._fresh().items():
            bits.assign(self._kept[turn][name], x)
        for name, x in self.arrays[turn].items():
            bits.assign(x, self._kept[turn][name])

    def owns(self, x: Array) -> bool:
        """Whether an array lies in the memory of an argument."""
        return any(bits.overlap(x, y) for each in self.arrays for y in each.values())

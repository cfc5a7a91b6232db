"""What a rule is, and how it names the samples that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

Tree = dict[str, str]  # path below the root -> text
Check = Callable[[Tree], Iterator[str]]


class Rule(Protocol):
    """A check of the tree and the samples that must fail it."""

    __name__: str
    broken: list[Tree]

    def __call__(self, tree: Tree) -> Iterator[str]:
        """One sentence for each violation."""


class Rules(list[Rule]):
    """Rules of one kind, collected by a decorator."""

    def rule(self, *broken: Tree) -> Callable[[Check], Check]:
        """Adds the decorated check; `broken` are trees it must find fault with."""

        def add(check: Check) -> Check:
            check.broken = list(broken)  # type: ignore[attr-defined]
            self.append(check)  # type: ignore[arg-type]
            return check

        return add

"""The chain rule inside one product: the dx of a layer, made the gradient of the activation and bias that made its x.

Where x = activation(v), v = ... + bias, and nothing but this layer uses x, the product that computes dx can also
multiply it by activation'(v) and add up its columns. The records below then find their work done.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pylayers.autograd import Record, Tensor
from pylayers.backends.contract import Activation

Array = Any


class Chained(Record):
    """A record whose gradient may come already multiplied by the derivative of its activation."""

    activation: Activation | None = None
    elementwise = False  # whether the activation is all there is to the record
    biased = False  # whether a bias gradient, the column sums of the gradient, is wanted
    given: tuple[Array, Array | None] | None = None  # that gradient, and its column sums

    def saved_for_activation(self) -> Array:
        """What the derivative of the activation is computed from."""
        return self.saved[-1]

    def take(self, dy: Array) -> tuple[bool, Array | None]:
        """Whether dy is what `Below.give` left, and its column sums."""
        given, self.given = self.given, None
        return (True, given[1]) if given is not None and given[0] is dy else (False, None)


class Below(NamedTuple):
    """The records that made an argument: one with an activation, and one whose bias that was added to, if any."""

    activated: Chained
    biased: Chained | None

    def give(self, dx: Array, sums: Array | None) -> None:
        """Leaves the gradient, and its column sums, for when the tape comes to these records."""
        self.activated.given = dx, sums
        if self.biased is not None:
            self.biased.given = dx, sums


def below(node: Record) -> Below | None:
    """Those of the first argument of `node`, where its gradient reaches nobody else and nobody looks at it."""
    activated = _only(node)
    if activated is None or activated.activation is None:
        return None
    if activated.biased:
        return Below(activated, activated)
    biased = _only(activated) if activated.elementwise else None
    return Below(activated, biased if biased is not None and biased.biased and biased.activation is None else None)


def _only(node: Record) -> Chained | None:
    """The record that made the first argument, if this is the only one that uses its result."""
    edge = node.edges[0]
    target = None if edge is None else edge[0]
    if isinstance(target, Tensor) or not isinstance(target, Chained):
        return None
    return None if target.consumers != 1 or target.hooks or target.retained else target

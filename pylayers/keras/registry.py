"""Objects by their names: what ``"adam"`` or ``"relu"`` means, and what is said of a name that means nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pylayers.errors import expected

T = TypeVar("T")


def find(op: str, name: str, identifier: object, known: Mapping[str, T]) -> T:
    """What `known` has for the identifier, whatever its case; ValueError that lists the names there are.

    TypeError for an identifier that is not a string.
    """
    choices = "one of " + ", ".join(map(repr, known))
    if not isinstance(identifier, str):
        raise expected(op, name, f"an object or {choices}", type(identifier).__name__, error=TypeError)
    for key in (identifier, identifier.lower()):
        if key in known:
            return known[key]
    raise expected(op, name, choices, repr(identifier))

"""What a package says of a public name that it does not have: the nearest ones, for attributes and for imports."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

LISTED = 40  # so many names are all listed where none is near
NEAR = 0.8  # LazyLinear is not meant as Linear


def absent(package: str, name: str, public: Collection[str]) -> Exception:
    """The exception for `package.name`, to be raised by the package's ``__getattr__``.

    An ImportError where ``from package import name`` asks, for Python drops the words of an AttributeError there; with
    a name of its own, so that Python adds no guess among the names of files.
    """
    if name.startswith("__"):
        return AttributeError(f"module '{package}' has no attribute '{name}'", name=name)
    there = vars(sys.modules[package])  # modules are not what is missed
    lower = {x.lower(): x for x in public if not x.startswith("_") and not isinstance(there.get(x), ModuleType)}
    near = [name.lower()] if name.lower() in lower else difflib.get_close_matches(name.lower(), lower, 3, NEAR)
    words = f"{package} has no '{name}' yet"
    if near:
        words += "; did you mean " + " or ".join(f"'{lower[match]}'" for match in near) + "?"
    elif len(public) <= LISTED:
        words += "; there are " + ", ".join(public)
    asked_by_import = sys._getframe(2).f_code.co_name == "_handle_fromlist"
    if asked_by_import and importlib.util.find_spec(f"{package}.{name}") is None:
        return ImportError(words, name=package)
    return AttributeError(words, name=name)


def public(package: str, *modules: str) -> list[str]:
    """What a package has gathered by now: its functions and classes, and these modules of it."""
    there = vars(sys.modules[package]).items()
    return sorted(name for name, value in there if name in modules or callable(value) and not name.startswith("_"))


def only(package: str, public: list[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose names are `public`."""

    def getattr(name: str) -> Any:
        raise absent(package, name, public)

    def dir() -> list[str]:
        return sorted(public)

    return getattr, dir

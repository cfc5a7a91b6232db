"""device: where a tensor lies, as a str that knows its type and number."""

from __future__ import annotations

import functools
import re
from typing import Any

from pylayers.errors import expected


class device(str):  # noqa: N801 - torch's name
    """``device("cpu")``, ``device("cuda")``, ``device("cuda:1")``, ``device("cuda", 1)`` or ``device(1)``; a str too.

    ValueError for other names.
    """

    __slots__ = ()

    def __new__(cls, device: Any, index: int | None = None) -> device:
        name = f"cuda:{device}" if isinstance(device, int) else str(device)
        name = name if index is None else f"{name}:{index}"
        if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
            raise expected("device", "device", "'cpu', 'cuda' or 'cuda:<number>'", repr(name))
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return str(self.partition(":")[0])

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number of the GPU, if it was named."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"
        )


named = functools.cache(device)

"""The reference backend, which in float64 is the truth of the tests."""

from __future__ import annotations

from pylayers import backends

reference = backends.load("reference")

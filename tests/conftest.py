"""One body of a test for every backend that is built."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import emulated
import numpy as np
import pytest
import subject


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers of this test alone: its name is their seed, whatever ran before it and wherever."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(params=["reference", "emulated", "cuda"])
def on(request: pytest.FixtureRequest) -> subject.Subject:
    """Each backend as a `Subject`: ``on(op, *arrays)``."""
    reason = subject.available(request.param)
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return subject.Subject(request.param)


@pytest.fixture(params=["emulated", "cuda"])
def kernels(request: pytest.FixtureRequest) -> subject.Subject:
    """The backends that run our kernels, for what only kernels do: variants, schedules, guard pages."""
    reason = subject.available(request.param)
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return subject.Subject(request.param)


@pytest.fixture(params=subject.SCHEDULES, ids=lambda s: f"{s[0]}{s[1]}")
def scheduled(request: pytest.FixtureRequest) -> Iterator[subject.Subject]:
    """The emulated backend under each schedule, planned for a device so small that blocks loop over their work."""
    with emulated.schedule(*request.param), emulated.device_spec(sms=1):
        yield subject.Subject("emulated")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many planted bugs were noticed."""
    passed, failed = (terminalreporter.stats.get(outcome, []) for outcome in ("passed", "failed"))
    scores = [value for report in passed + failed for key, value in report.user_properties if key == "mutants"]
    if scores:
        killed, planted = map(sum, zip(*scores, strict=True))
        terminalreporter.write_line(f"planted bugs of the kernels: {killed} of {planted} noticed")

"""A plugin of pytest that writes down how each test ended and which kernels it launched: `-p evidence.witness`.

``--witness FILE`` gets one JSON line when a test begins and one when it has ended, so that a run which is killed has
told what it saw. ``--leave-out FILE`` runs none of the tests that it names; ``--first N`` keeps the first N.
``--without-pool`` lets CuPy ask the driver for every array: compute-sanitizer then sees where each one ends.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

SICK = 86  # exit status where a test left the device unusable


def pytest_addoption(parser: pytest.Parser) -> None:
    """The four options."""
    group = parser.getgroup("witness")
    group.addoption("--witness", metavar="FILE", help="append how each test ended and which kernels it launched")
    group.addoption("--leave-out", metavar="FILE", help="run none of the tests named in its lines")
    group.addoption("--first", metavar="N", type=int, help="run no more than the first N tests")
    group.addoption("--without-pool", action="store_true", help="each array of CuPy is an allocation of its own")


def pytest_configure(config: pytest.Config) -> None:
    """Turns CuPy's pool off where that was asked for."""
    if config.getoption("--without-pool"):
        import cupy

        cupy.cuda.set_allocator(None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the first ones, and those that are not known."""
    if config.getoption("--leave-out"):
        known = set(Path(config.getoption("--leave-out")).read_text().splitlines())
        items[:] = [item for item in items if item.nodeid not in known]
    if config.getoption("--first"):
        del items[config.getoption("--first") :]


def launched() -> list[str]:
    """The kernels launched since the last call: as the linker spells them on a GPU, by their type on the emulator."""
    names: set[str] = set()
    cuda, emulated = (sys.modules.get(f"pylayers.{name}") for name in ("_cuda", "_emulated"))
    if cuda is not None:
        names.update(cuda.take_launched())
    if emulated is not None:
        names.update(kernel for kernel, *_ in emulated.launches())
        emulated.clear_launches()
    return sorted(names)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, Any]:
    """Gives the report of a test, and of a setup that went wrong, the kernels that were launched."""
    report = yield
    if report.when == "setup" and not report.failed:
        return report  # what it has launched is its test's
    try:
        names = launched()
    except Exception as error:  # the device answers nobody in this process any more
        note(test=item.nodeid, outcome="failed", kernels=[], lost=f"{type(error).__name__}: {str(error)[:300]}")
        os._exit(SICK)
    if report.when == "call" or report.failed:
        report.user_properties.append(("launched", names))
    return report  # what cleaning up has launched is of no test


def pytest_runtest_logstart(nodeid: str, location: Any) -> None:
    """Notes what is about to run: a test that hangs has no other line."""
    note(began=nodeid, at=time.time())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes how a test ended. One that fails while it is cleaned up has failed too."""
    if report.when == "call" or report.outcome != "passed":
        kernels = next((value for key, value in report.user_properties if key == "launched"), None)
        died = {"lost": "its worker died"} if kernels is None and report.failed else {}
        note(test=report.nodeid, outcome=report.outcome, kernels=kernels or [], **died)


def note(**line: Any) -> None:
    """Appends a line to the file. Workers of pytest-xdist leave that to the process that started them."""
    if FILE is not None:
        with FILE.open("a") as file:
            file.write(json.dumps(line) + "\n")


FILE: Path | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Finds the file."""
    global FILE
    given = session.config.getoption("--witness")
    FILE = Path(given) if given and not hasattr(session.config, "workerinput") else None

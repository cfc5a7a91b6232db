"""A stand-in for a GPU and its timers: streams that work in virtual time, with values that come when work is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench_package import module

LAUNCH_S, FLUSH_S = 3e-6, 40e-6
Work = Callable[[], Any]


class SimulatedDevice:
    """What `timing.Device` asks of a GPU. The host's clock runs only while it launches or waits."""

    asynchronous = True

    def __init__(self) -> None:
        self.now = 0.0
        self.ready: dict[str, float] = {"main": 0.0}  # when each stream has done its work
        self.work: list[tuple[float, int, Work]] = []
        self.timed = False  # between the two events of a sample
        self.held = False  # the stream waits for all launches
        self.samples = 0

    def launch(self, work: Work, seconds: float, stream: str = "main") -> None:
        """Work for a stream; its values are there once the device was waited for."""
        self.now += LAUNCH_S
        self.ready[stream] = max(self.now, self.ready.get(stream, 0.0)) + seconds
        self.work.append((self.ready[stream], len(self.work), work))

    def flush(self) -> None:
        self.launch(lambda: None, FLUSH_S)

    def hold(self, seconds: float) -> None:
        self.held = True
        self.launch(lambda: None, seconds)

    def mark(self) -> float:
        self.timed = not self.timed
        self.samples += self.timed
        return max(self.now, self.ready["main"])

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def synchronize(self) -> None:
        assert not self.timed, "the harness waits for the device between two events"
        self.held = False
        self.now = max(self.now, *self.ready.values())
        while self.work:
            due, self.work = sorted(self.work, key=lambda item: item[:2]), []
            for _, _, work in due:
                work()

    def clock(self) -> float:
        return self.now


def simulated_place(seed: int = 0) -> Any:
    """Host memory whose device is simulated."""
    place = module("harness.places").HostPlace("reference", seed)
    place.name, place.cache_bytes, place.device = "simulated", 1 << 14, SimulatedDevice()
    return place


class FixedRoofline(module("harness.roofline").Roofline):  # type: ignore[misc]
    """Ceilings that are given, not measured."""

    def __init__(self, place: Any, bytes_per_s: float, flop_per_s: float) -> None:
        super().__init__(place)
        self.copy_bytes_per_s, self.flop_per_s, self.looks = bytes_per_s, {"float32": flop_per_s}, 0

    def measure_bytes(self) -> None:
        self.looks += 1

    def measure_products(self, dtype: str) -> None:
        self.looks += 1


def later(work: Work, seconds: float) -> Work:
    """Work that takes its time, in real seconds."""

    def run() -> None:
        time.sleep(seconds)
        work()

    return run

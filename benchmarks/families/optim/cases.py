"""The optimizers' updates that are timed: which rule, on tensors of which sizes, fixed before any tuning."""

from __future__ import annotations

from collections.abc import Iterator

from ...harness.contract import Case
from ...harness.dtypes import SHORT, SIZE

RULES = {"adam": 2, "adamw": 2, "sgd": 1}  # and how many moments each keeps


def resnet50() -> list[int]:
    """Convolutions, two vectors of each batch norm, the classifier: 161 tensors, 25,557,032 parameters."""
    sizes = [64 * 3 * 49, 64, 64]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolutions = [(width, channels), (width, width * 9), (4 * width, width)]
            if block == 0:
                convolutions.append((4 * width, channels))
            for out, taps in convolutions:
                sizes += [out * taps, out, out]
            channels = 4 * width
    return [*sizes, 1000 * channels, 1000]


def llama_1b() -> list[int]:
    """Llama 3.2's 1 B model: tied embedding, 16 layers of four projections, three of the gated MLP and two norms."""
    layer = [2048 * 2048, 512 * 2048, 512 * 2048, 2048 * 2048, *[8192 * 2048] * 3, 2048, 2048]
    return [128256 * 2048, *layer * 16, 2048]


LISTS: dict[str, list[int]] = {
    "three of 1, 67 and 300": [1, 67, 300],
    "one of 2^18": [2**18],
    "one of 2^20": [2**20],
    "1,000 of 128": [128] * 1000,
    "MNIST CNN": [288, 32, 5408 * 128, 128, 1280, 10],
    "one of 2^26": [2**26],
    "one of 2^28": [2**28],
    "ResNet-50": resnet50(),
    "Llama-1B-like": llama_1b(),
    "10,000 of 1,024": [1024] * 10_000,
    "10,000 of 1 ... 100": [1 + 7 * i % 100 for i in range(10_000)],
}
SMALL = ("three of 1, 67 and 300", "one of 2^18", "one of 2^20", "1,000 of 128", "MNIST CNN")
QUICK = [
    ("adamw", SMALL[0]), ("adam", SMALL[1]), ("adamw", SMALL[2]), ("sgd", SMALL[2]), ("adamw", SMALL[3]),
    ("sgd", SMALL[3]), ("adam", SMALL[4]),
]  # fmt: skip


def update(rule: str, name: str, dtype: str = "float32") -> Case:
    """Reads parameters, gradients and moments once, and writes all but the gradients."""
    total = sum(LISTS[name])
    moved = (3 + 2 * RULES[rule]) * total * SIZE[dtype]
    full = f"{SHORT[dtype]} {rule} {name}"
    group = "tiny" if name == SMALL[0] else name
    quick = (rule, name) in QUICK and (dtype == "float32" or group == "tiny")
    return Case("optim", full, group, dtype, 0, moved, {"rule": rule, "list": name}, quick)


def updates() -> Iterator[Case]:
    """Every case, the small ones first."""
    for name in LISTS:
        for rule in RULES:
            if name != "Llama-1B-like" or rule == "adamw":
                yield update(rule, name)
    for name in (SMALL[0], "one of 2^28", "ResNet-50", "Llama-1B-like", "10,000 of 1,024"):
        yield update("adamw", name, "bfloat16")
    for name in (SMALL[0], "one of 2^28"):
        yield update("sgd", name, "bfloat16")


CASES = tuple(updates())

"""The matrix products that are timed: shapes, dtypes, layouts and epilogues, fixed before any tuning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...harness.contract import Case
from ...harness.dtypes import SHORT, SIZE

SQUARES = (256, 512, 1024, 2048, 4096, 8192)
TOKENS = (1, 16, 64, 256, 1024, 8192)
LLAMA = {"qkv": (6144, 4096), "o": (4096, 4096), "gate-up": (28672, 4096), "down": (4096, 14336)}  # of the 8 B model
VOCABULARY = [(1, 128256, 4096), (64, 128256, 4096), (2048, 128256, 4096), (1024, 50257, 768)]  # Llama 3, GPT-2
SKINNY = [(128, 128, 131072), (65536, 64, 64), (16, 8192, 8192), (8192, 16, 8192), (8192, 8192, 16), (1, 1, 1048576)]
ODD = [(127, 4099, 4093), (1021, 1021, 8191), (257, 257, 257), (4095, 4097, 4095), (1, 1, 1)]
# batch, m, n, k, layout: scores and weighted values of 96 heads, many small ones, a few large ones
BATCHED = [
    (96, 1024, 1024, 64, "nt"),
    (96, 1024, 64, 1024, "nn"),
    (4096, 32, 32, 32, "nn"),
    (8, 2048, 2048, 2048, "nn"),
]
LAYOUTS = ("nn", "nt", "tn", "tt")
EPILOGUES = ("bias", "relu", "gelu", "gelu_tanh", "silu", "residual")  # the activations after a bias
MIXED = ("float8_e5m2", "float8_e4m3fn")  # a gradient by a weight


def out_dtype(a: str) -> str:
    """The dtype of a product, as ours and the peers' agree on it."""
    eight = {"float8_e4m3fn": "bfloat16", "float8_e5m2": "bfloat16", "int8": "int32", "tf32": "float32"}
    return eight.get(a, a)


def product(
    group: str,
    dtype: str,
    m: int,
    n: int,
    k: int,
    layout: str = "nt",
    batch: int = 0,
    epilogue: str = "",
    b_dtype: str = "",
    quick: bool = False,
) -> Case:
    """y = a b: 2 batch m n k operations. `layout` says for a and b whether its memory holds the transposed matrix."""
    b_dtype = b_dtype or dtype
    out, count = SIZE[out_dtype(dtype)], max(batch, 1)
    moved = count * (m * k * SIZE[dtype] + k * n * SIZE[b_dtype] + m * n * out)
    if epilogue:
        moved += out * (m * n if epilogue == "residual" else n)
    if dtype.startswith("float8"):
        moved += 8  # the two scales
    params: dict[str, Any] = {"m": m, "n": n, "k": k, "layout": layout, "batch": batch, "epilogue": epilogue}
    params["b_dtype"] = b_dtype
    types = SHORT[dtype] + (f"-{SHORT[b_dtype]}" if b_dtype != dtype else "")
    shape = (f"{batch}x " if batch else "") + f"{m}x{n}x{k}"
    name = " ".join(filter(None, (types, shape, layout, epilogue)))
    return Case("gemm", name, group, dtype, 2 * count * m * n * k, moved, params, quick)


def small_products() -> Iterator[Case]:
    """What takes milliseconds on two cores; the tiny ones suit the emulator, and some of them a quick run."""
    for layout in LAYOUTS:
        yield product("tiny", "float32", 33, 17, 29, layout, quick=layout == "nt")
    yield product("tiny", "bfloat16", 65, 66, 67, quick=True)
    yield product("tiny", "float16", 65, 66, 67, "nn", quick=True)
    yield product("tiny", "int8", 48, 64, 64, quick=True)
    yield product("tiny", "float8_e4m3fn", 48, 64, 64, quick=True)
    yield product("tiny", MIXED[0], 48, 64, 64, b_dtype=MIXED[1])
    yield product("tiny", "float32", 5, 6, 7, batch=3)
    for epilogue in EPILOGUES:
        yield product("tiny", "float32", 33, 18, 29, epilogue=epilogue)
        yield product("tiny", "bfloat16", 33, 18, 29, epilogue=epilogue, quick=epilogue == "gelu")
    for size in (128, 256, 512, 1024):
        yield product("square", "float32", size, size, size, "nn", quick=True)
    for tokens in (1, 64):
        yield product("GPT-2 layer", "float32", tokens, 3072, 768, quick=True)
    for epilogue in ("relu", "gelu", "residual"):
        yield product("epilogue", "float32", 256, 512, 512, epilogue=epilogue, quick=True)
    yield product("odd", "float32", 251, 509, 127, quick=True)
    yield product("batched", "float32", 64, 64, 64, "nn", 32, quick=True)
    yield product("skinny", "float32", 64, 64, 16384, quick=True)


def products() -> Iterator[Case]:
    """Every case, the small ones first."""
    yield from small_products()
    for size in SQUARES:
        yield product("square", "bfloat16", size, size, size)
        yield product("square", "float32", size, size, size)
    for tokens in TOKENS:
        for layer, (n, k) in LLAMA.items():
            yield product(f"Llama {layer}", "bfloat16", tokens, n, k)
    for m, n, k in VOCABULARY:
        yield product("vocabulary", "bfloat16", m, n, k)
    for m, n, k in SKINNY:
        yield product("skinny", "bfloat16", m, n, k)
    for m, n, k in ODD:
        yield product("odd", "bfloat16", m, n, k)
        yield product("odd", "float32", m, n, k)
    for batch, m, n, k, layout in BATCHED:
        yield product("batched", "bfloat16", m, n, k, layout, batch)
    yield product("batched", "float32", 64, 64, 64, "nn", 512)
    for layout in ("nn", "tn", "tt"):  # "nt" is among the squares
        yield product("layout", "bfloat16", 4096, 4096, 4096, layout)
        yield product("layout", "float32", 2048, 2048, 2048, layout)
        yield product("layout", "bfloat16", 1021, 1021, 8191, layout)
    for epilogue in EPILOGUES:
        yield product("epilogue", "bfloat16", 4096, 4096, 4096, epilogue=epilogue)
        yield product("epilogue", "bfloat16", 64, 4096, 4096, epilogue=epilogue)
        yield product("epilogue", "float32", 1024, 1024, 1024, epilogue=epilogue)
    for dtype in ("float16", "tf32", "float8_e4m3fn", "int8"):
        for size in (1024, 4096, 8192):
            yield product("dtype", dtype, size, size, size)
        yield product("dtype", dtype, 64, 4096, 4096)
    yield product("dtype", MIXED[0], 4096, 4096, 4096, b_dtype=MIXED[1])


CASES = tuple(products())

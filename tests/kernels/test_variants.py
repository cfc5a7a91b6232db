"""Tables of variants and their plans: what holds for every family."""

from __future__ import annotations

from typing import Any

import emulated
import numpy as np
import pytest
from subject import Subject
from test_gemm_plan import A100, H200, T4, untouched

MODULE = emulated.load()
CONV = ["conv_forward", "conv_input_gradient", "conv_weight_gradient"]


def image(shape: tuple[int, ...], channels_last: bool = False) -> Any:
    """A dense float32 array (n, c, h, w) that nobody reads."""
    n, c, h, w = shape
    strides = (h * w * c, 1, w * c, c) if channels_last else (c * h * w, h * w, w, 1)
    return untouched(shape, "float32", strides)


def convolution(batch: int, channels: int, filters: int, size: int, taps: int = 3, groups: int = 1) -> list[Any]:
    """x, weight and y of a convolution that keeps the size."""
    x, y = image((batch, channels, size, size)), image((batch, filters, size, size))
    return [x, image((filters, channels // groups, taps, taps)), y]


def product(m: int, n: int, k: int, dtype: str = "bfloat16", batches: int = 1) -> list[Any]:
    return [untouched((batches, m, k), dtype), untouched((batches, k, n), dtype)]


PROBLEMS: dict[str, tuple[str, list[Any]]] = {
    "gemm": ("gemm", product(512, 512, 4096)),
    "gemm float32": ("gemm", product(96, 160, 4096, "float32")),
    "gemm fp8": ("gemm", product(128, 64, 2048, "float8_e4m3fn", 3)),
    **{f"{name} {size}": (name, convolution(8, 64, 128, size, groups=2)) for name in CONV for size in (7, 56)},
}


def canonical(variant: str) -> str:
    """With its splits."""
    return variant if "*" in variant else f"{variant}*1"


@pytest.mark.parametrize("family", ["gemm", *CONV])
def test_rows_say_what_they_are(family: str) -> None:
    for row in MODULE.variants(family):
        assert row.name.startswith(("sm90_", "sm80_", "simt_")) and row.capability in (0, 80, 90)
        assert f"_{row.tile_m}x{row.tile_n}x{row.tile_k}" in row.name
        assert row.stages >= 1 and row.cluster >= 1 and 0 < row.shared_bytes <= 232448
        assert np.dtype(row.a).itemsize == np.dtype(row.b).itemsize and row.precision in ("float32", "tf32")


def test_only_families_with_a_table() -> None:
    expected = r"plan: argument 'family': expected one of gemm, conv_forward, .*, got 'pool'"
    for ask in (MODULE.variants, lambda family: MODULE.plan(family, product(8, 8, 8), spec=H200)):
        with pytest.raises(ValueError, match=expected):
            ask("pool")


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("spec", [H200, A100, T4], ids=["H200", "A100", "T4"])
def test_what_is_possible_can_be_had_and_holds_the_choice(problem: str, spec: Any) -> None:
    family, operands = PROBLEMS[problem]
    possible = MODULE.possible_variants(family, operands, spec=spec)
    if not possible:
        with pytest.raises(NotImplementedError, match="expected a pair of operands with a kernel on"):
            MODULE.plan(family, operands, spec=spec)
        return
    assert len(set(possible)) == len(possible)
    for variant in possible:
        assert canonical(MODULE.plan(family, operands, spec=spec, variant=variant).variant) == variant
    chosen = MODULE.plan(family, operands, spec=spec).variant
    assert chosen.partition("*")[0] in {variant.partition("*")[0] for variant in possible}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_was_measured_decides(problem: str) -> None:
    family, operands = PROBLEMS[problem]
    own = MODULE.plan(family, operands, spec=H200)
    for variant in MODULE.possible_variants(family, operands, spec=H200):
        measured = [(*own.problem, variant)]
        assert canonical(MODULE.plan(family, operands, spec=H200, measured=measured).variant) == variant
        key, sizes = own.problem[2], own.problem[3:]
        for other in (("softmax", 90, key), (family, 80, key), (family, 90, "")):
            measured = [(*other, *sizes, variant)]
            assert MODULE.plan(family, operands, spec=H200, measured=measured).variant == own.variant


@pytest.mark.parametrize("family", CONV)
def test_problems_of_convolutions(family: str) -> None:
    """Sizes as products, and what else must be the same: dtype, taps and the images' order in memory."""
    x, weight, y = convolution(4, 6, 10, 16, groups=2)
    problem = MODULE.plan(family, [x, weight, y], spec=H200).problem
    pixels = 4 * 16 * 16
    sizes = {
        "conv_forward": (2, pixels, 5, 27),
        "conv_input_gradient": (2, pixels, 3, 45),
        "conv_weight_gradient": (2, 5, 27, pixels),
    }
    assert problem == (family, 90, "float32 3x3 channels_first", *sizes[family])
    last = MODULE.plan(family, [image((4, 6, 16, 16), channels_last=True), weight, y], spec=H200).problem
    assert last == (family, 90, "float32 3x3 channels_last", *sizes[family])
    with pytest.raises(ValueError, match=f"{family}: argument 'operands': expected x, weight and y"):
        MODULE.plan(family, [x, weight], spec=H200)
    with pytest.raises(ValueError, match=rf"{family}: argument 'variant': expected a row .*, got 'simt_8x8x8'"):
        MODULE.plan(family, [x, weight, y], spec=H200, variant="simt_8x8x8")


def test_only_weight_gradients_of_convolutions_are_split() -> None:
    """They have few elements, sums of many pixels; their splits want memory."""
    operands = convolution(64, 32, 32, 28)
    for family in CONV:
        chosen = MODULE.plan(family, operands, spec=H200)
        assert ("*" in chosen.variant) == (chosen.workspace_bytes > 0) == (family == CONV[2])
    splits = int(chosen.variant.partition("*")[2])
    assert chosen.workspace_bytes == splits * 32 * 32 * 9 * 4
    with pytest.raises(ValueError, match=r"conv_forward: argument 'variant': expected a row of the table .*\*2'"):
        MODULE.plan(CONV[0], operands, spec=H200, variant="simt_64x64x16*2")


@pytest.mark.parametrize("splits", [1, 2, 3, 7])
def test_split_weight_gradients_are_right(kernels: Subject, splits: int) -> None:
    rng = np.random.default_rng(0)
    x, dy = (rng.integers(-4, 5, shape).astype(np.float32) for shape in ((3, 2, 9, 9), (3, 4, 9, 9)))
    want = np.zeros((4, 2, 3, 3), np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for r, s in np.ndindex(3, 3):
        want[:, :, r, s] = np.einsum("nkpq,ncpq->kc", dy, padded[:, :, r : r + 9, s : s + 9])
    how = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    got = kernels("conv_weight_gradient", dy, x, want.shape, *how, variant=f"simt_32x32x32*{splits}")
    np.testing.assert_array_equal(got, want)

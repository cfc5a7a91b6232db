"""Every dropped barrier and every planted arithmetic bug of the kernels is noticed; pytest's summary shows the score.

What notices them is the float64 reference, the guard pages and the race detector, on cases chosen small enough that a
thousand of them cost minutes: the ordinary tests run many more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import emulated
import gemm_cases
import mutants
import numpy as np
import pytest
import test_activation
import test_adam
import test_attention
import test_conv
import test_cross_entropy
import test_dropout
import test_gemm
import test_gemm_epilogue
import test_gemm_huge
import test_gemm_sm80
import test_norm
import test_pool
import test_softmax
from bounds import reference
from gemm_cases import integers
from layouts import LAYOUTS, in_turns
from subject import Subject

pytestmark = pytest.mark.slow

Detector = Callable[[Subject], None]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def gemm(on: Subject) -> None:
    a, b, bias = (integers(rng(), shape, "float32") for shape in [(2, 33, 70), (2, 70, 35), (35,)])
    want = np.einsum("zmk,zkn->zmn", a, b)
    swapped = LAYOUTS["last_two_swapped"]
    got = on("gemm", swapped(a), b, bias, "relu", variant="simt_32x32x32*2")
    np.testing.assert_array_equal(got, np.maximum(want + bias, 0))
    np.testing.assert_array_equal(on("gemm", a, swapped(b), variant="simt_64x64x16*1"), want)
    np.testing.assert_array_equal(on("gemm", a, b, variant="simt_128x128x8*1"), want)


def hopper(on: Subject, name: str, dtype: str, left: str, right: str) -> None:
    """Blocks that walk over ragged tiles of two batches, stages that come round, both ways to y."""
    row = next(row for row in test_gemm.ROWS if (row.name, row.a, row.b) == (name, dtype, dtype))
    long = 2, row.tile_m + 9, row.tile_n + 8, (row.stages + 1) * row.tile_k + 8
    for shape, splits in [(long, 1), ((2, 9, 7, 5 * row.tile_k - 3), 2)]:
        a, b = gemm_cases.draw(row, shape, low=-2)
        a, b = gemm_cases.put(a, left), gemm_cases.put(b, right)
        for out_dtype in gemm_cases.output_dtypes(row):
            gemm_cases.assert_exact(on, row, a, b, splits=splits, out_dtype=out_dtype)
    gemm_cases.assert_exact(on, row, *(np.broadcast_to(x[:1], x.shape) for x in (a, b)))
    a, b = gemm_cases.draw(row, (1, 20, row.tile_n, 40))  # the last store has something to store
    gemm_cases.assert_exact(on, row, gemm_cases.put(a, left), gemm_cases.put(b, right))
    a, b = gemm_cases.draw(row, (1, 20, 40, 40))
    a, b = gemm_cases.put(a, left), gemm_cases.put(b, right)
    out_dtype = next(out for out in gemm_cases.output_dtypes(row) if out != "int32")
    for epilogue in ("scales_of_all", "scales_of_columns"):
        test_gemm_epilogue.assert_epilogue(on, row, a, b, epilogue, out_dtype, 3)


HOPPER = [
    functools.partial(hopper, name=name, dtype=dtype, left=left, right=right)
    for name, dtype, left, right in [
        ("sm90_128x256x64_cluster2", "bfloat16", "rows", "columns"),
        ("sm90_128x256x64_cluster2", "bfloat16", "columns", "rows"),
        ("sm90_128x128x64_pingpong", "float16", "columns", "rows"),
        ("sm90_64x64x64", "bfloat16", "rows", "rows"),
        ("sm90_128x128x32_gather", "float32", "gaps", "backwards"),
        ("sm90_128x128x128", "float8_e4m3fn", "rows", "columns"),
        ("sm90_128x128x128_gather", "int8", "offset_1", "dense"),
    ]
]

GATHERS = [detect for detect in HOPPER if "gather" in detect.keywords["name"]]


def many_tiles(on: Subject) -> None:
    """More than a band of tiles along m, and a second along n that begins where the first ends."""
    row = next(row for row in test_gemm.ROWS if (row.name, row.a) == ("sm90_64x64x64", "bfloat16"))
    a, b = gemm_cases.draw(row, (2, 600, 125, 8))
    gemm_cases.assert_exact(on, row, gemm_cases.put(a, "rows"), gemm_cases.put(b, "columns"))


def ampere(on: Subject) -> None:
    test_gemm_sm80.detect_faults()


def epilogues(on: Subject) -> None:
    row = next(row for row in test_gemm.ROWS if (row.name, row.a) == ("sm90_64x64x64", "bfloat16"))
    whole = next(row for row in test_gemm.ROWS if (row.name, row.a) == ("sm90_64x64x128", "int8"))
    for seed, name in enumerate(test_gemm_epilogue.EPILOGUES):
        for splits in (1, 2):
            a, b = gemm_cases.draw(row, (2, 21, 35, 128), seed)
            a, b = gemm_cases.put(a, "rows"), gemm_cases.put(b, "columns")
            test_gemm_epilogue.assert_epilogue(on, row, a, b, name, ("bfloat16", "float32")[seed % 2], seed, splits)
    a, b = gemm_cases.draw(whole, (2, 21, 33, 128))
    gemm_cases.assert_exact(on, whole, gemm_cases.put(a, "rows"), gemm_cases.put(b, "columns"))
    a, b = (np.full(shape, 50).astype(row.a) for shape in [(1, 8, 128), (1, 128, 8)])
    gemm_cases.assert_exact(on, row, gemm_cases.put(a, "rows"), gemm_cases.put(b, "columns"), out_dtype="float32")


def column_sum(on: Subject) -> None:
    for shape in [(2101, 33, 1), (3, 2, 1101)]:
        for layout in ("contiguous", "stepped"):
            x = integers(rng(), shape, "float32")
            np.testing.assert_array_equal(on("column_sum", LAYOUTS[layout](x)), x.sum((0, 2)))


def conv(on: Subject) -> None:
    for name in ["strided", "dilated", "grouped"]:
        test_conv.check(on, *test_conv.draw(test_conv.GEOMETRIES[name], rng()))
    how = (1, 1), ((1, 1), (1, 1)), (1, 1), 1
    x, dy = (
        test_conv.integers(rng(), (1, 2, 35, 31)),
        test_conv.integers(rng(), (1, 4, 35, 31)),
    )  # splits of 543 and 542
    want = reference.conv_weight_gradient(dy, x, (4, 2, 3, 3), *how)
    for variant in ("simt_32x32x32*1", "simt_32x32x32*3"):
        np.testing.assert_array_equal(on("conv_weight_gradient", dy, x, (4, 2, 3, 3), *how, variant=variant), want)


def pool(on: Subject) -> None:
    for name in ["overlap", "dilated", "gaps"]:
        shape, *how = test_pool.WINDOWS[name]
        x = rng().integers(0, 3, shape).astype(np.float32)
        x[0, 0, :3, :3], x[0, 1, 2, 3] = -np.inf, np.nan
        test_pool.check(on, x, tuple(how))
        test_pool.check(on, x, tuple(how), in_turns("transposed"))


def activation(on: Subject) -> None:
    for name in test_activation.ACTIVATIONS:
        x, dy = (rng().standard_normal((3, 5, 7)).astype(np.float32) for _ in range(2))
        test_activation.check(on, x, dy, name)
        test_activation.check(on, x, dy, name, LAYOUTS["stepped"])
        test_activation.test_special_values(on, name)
    test_activation.test_relu_hides_gradients_rather_than_multiplying_them(on, "float32")
    gemm(on)


def dropout(on: Subject) -> None:
    for offset in (7, 2**32 + 5):
        x = rng().standard_normal((3, 40)).astype(np.float32)
        np.testing.assert_allclose(on("dropout", x, 0.5, 3, offset), reference.dropout(x, 0.5, 3, offset), rtol=1e-6)
    test_dropout.test_what_is_not_finite_shows_even_where_dropped(on, np.nan, 0.5)


def softmax(on: Subject) -> None:
    for shape in [(20, 5), (3, 1100)]:
        x, dy = (30 * rng().standard_normal(shape).astype(np.float32) for _ in range(2))
        for log in (False, True):
            test_softmax.check(on, x, dy, log)
            test_softmax.check(on, LAYOUTS["transposed"](x), LAYOUTS["stepped"](dy), log)


def cross_entropy(on: Subject) -> None:
    for rows, n in [(20, 5), (3, 1100)]:
        for kind in test_cross_entropy.KINDS:
            x, labels, weight = test_cross_entropy.draw(rows, n, kind)
            labels[1] = test_cross_entropy.IGNORE
            test_cross_entropy.check(on, x, labels, weight, 0.2 if kind == "logits" else 0.0, "mean", kind)
    test_cross_entropy.test_unknown_labels_give_nan_and_read_nothing(on, "logits")
    test_cross_entropy.test_probabilities_are_clipped(on)
    test_cross_entropy.test_a_loss_that_is_not_finite_spoils_its_row(on, np.nan)


def norm(on: Subject) -> None:
    for rows, n in [(20, 5), (3, 1100)]:
        test_norm.check(on, *test_norm.draw(rows, n))
    test_norm.check(on, *test_norm.draw(9, 40), in_turns("channels_last"))
    test_norm.test_rows_whose_squares_float32_cannot_hold(on, 16, 110)
    x, weight, _, dy = test_norm.draw(9, 40)
    test_norm.check_rms(on, x, weight, dy)


def attention(on: Subject) -> None:
    q, k, v, do = test_attention.draw(2, 2, 9, 40, 33, 70)
    test_attention.check(on, q, k, v, do, None, 10)
    test_attention.check(on, q, k, v, do, None, 34)
    test_attention.test_arrays_that_lie_differently(on, (5, 35), "stepped")
    mask = np.zeros((9, 40), np.float32)
    mask[4], mask[:, 3] = -np.inf, -np.inf
    k[:, :, 3] = v[:, :, 3] = np.nan
    o, _ = on("attention_forward", q, k, v, mask, 0.3, None)
    assert np.isfinite(o).all() and (o[:, :, 4] == 0).all()


def optimizers(on: Subject) -> None:
    for rates in (*test_adam.ADAM.values(), *test_adam.SGD.values()):
        test_adam.check(on, rates, [5000, 0, 3, 4096], test_adam.MIXED, count=2)
        test_adam.check(on, rates, [50], test_adam.FLOATS, count=3)
    test_adam.check(on, test_adam.ADAM["adamw"], [2**20 + 4097], test_adam.FLOATS, count=2)
    test_adam.check(on, test_adam.SGD["momentum"], [3] * 70, test_adam.FLOATS, count=1)
    for sizes in ([9000, 3], [300 * 4096]):
        lists = test_adam.Lists(on, sizes, test_adam.FLOATS, 0)
        want = reference.gradient_norm([np.array(g) for g in lists.gradients])
        np.testing.assert_allclose(on.backend.gradient_norm(lists.gradients), want, rtol=2e-7)
    test_adam.test_gradient_norm_of_huge_and_tiny_gradients(on)
    test_adam.test_a_gradient_that_is_not_finite_leaves_everything_untouched(on, test_adam.ADAM["adamw"], np.inf)


ROWS: list[Detector] = [softmax, norm, cross_entropy]
# Where a bug of each file shows.
DETECTORS: dict[str, list[Detector]] = {
    "gemm_simt.cuh": [gemm, test_gemm_huge.far],
    "gemm_sm90.cuh": [*HOPPER, many_tiles, test_gemm_huge.far_gathered],
    "gemm_sm80.cuh": [ampere],
    "core/operand_tile.cuh": [ampere, *GATHERS, test_gemm_huge.far_gathered],
    "gemm_sum.cuh": [epilogues],
    "core/epilogue.cuh": [epilogues, test_gemm_huge.far_rows],
    "core/raster.cuh": [many_tiles, *HOPPER],
    "core/ring.cuh": [*HOPPER, many_tiles],
    "core/tile_producer.cuh": [*HOPPER, many_tiles, test_gemm_huge.far_gathered],
    "core/wgmma_loop.cuh": [*HOPPER, many_tiles],
    "core/tile_store.cuh": [*HOPPER, many_tiles],
    "conv_simt.cuh": [conv],
    "pool.cuh": [pool],
    "elementwise.cuh": [activation],
    "activation.cuh": [activation],
    "core/math.cuh": [activation],
    "core/reduce.cuh": ROWS,
    "core/rows.cuh": ROWS,
    "column_sum.cuh": [column_sum],
    "softmax.cuh": [softmax],
    "cross_entropy.cuh": [cross_entropy],
    "norm.cuh": [norm],
    "attention.cuh": [attention],
    "dropout.cuh": [dropout],
    "tensor_list.cuh": [optimizers],
    "adam.cuh": [optimizers],
    "sgd.cuh": [optimizers],
    "gradient_norm.cuh": [optimizers],
}


@pytest.fixture
def on() -> Iterator[Subject]:
    """The kernels with their planted bugs, none active yet, in the race build and planned for one multiprocessor."""
    module = emulated.load("race", mutants=True)
    with emulated.schedule("random", 1, module, "late"), emulated.device_spec(sms=1, module=module):
        yield Subject("emulated")
    emulated.load()


def noticed(on: Subject, detectors: list[Detector]) -> bool:
    failures = AssertionError, on.backend.module.EmulatorError  # type: ignore[attr-defined]
    for detect in detectors:
        try:
            detect(on)
        except failures:
            return True
    return False


@pytest.mark.parametrize("file", DETECTORS)
def test_planted_bugs_are_noticed(on: Subject, file: str, record_property: Callable[[str, object], None]) -> None:
    module = on.backend.module  # type: ignore[attr-defined]
    visitors: dict[emulated.Site, list[Detector]] = {}
    for detect in DETECTORS[file]:
        module.clear_sites()
        assert not noticed(on, [detect]), "the kernels as they are were refused"
        for site in emulated.sites(module=module):
            if f"kernels/{file}:" in site.where:
                visitors.setdefault(site, []).append(detect)
    survivors, fences = [], 0
    rows = [row for row in mutants.numbered() if row[1] == file]
    for number, _, good, bad in rows:
        with emulated.mutant(number, module=module):
            if not noticed(on, DETECTORS[file]):
                survivors.append(f"{good}  ->  {bad}")
    for site, detectors in visitors.items():
        with emulated.dropped(site, module=module):
            if not noticed(on, detectors):
                survivors.append(f"dropped {site}")
        if site.instruction == "fence_proxy_async":  # of each lane's own writes
            fences += 1
            with emulated.by_one_lane(site, module=module):
                if not noticed(on, detectors):
                    survivors.append(f"by one lane only {site}")
    planted = len(rows) + len(visitors) + fences
    record_property("mutants", [planted - len(survivors), planted])
    assert not survivors, "\n".join(survivors)


def test_every_kernel_file_has_its_bugs() -> None:
    files = {str(p.relative_to(emulated.ROOT / "kernels")) for p in (emulated.ROOT / "kernels").rglob("*.cuh")}
    computing_nothing = {"core/ptx.cuh", "core/kernel.cuh", "core/layout.cuh", *(f for f in files if "core/ptx/" in f)}
    assert files - computing_nothing == set(DETECTORS)

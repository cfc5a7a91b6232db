"""Convolution y = x * weight, its input gradient and its weight gradient: ours beside torch (cuDNN, oneDNN)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pylayers import ops

from ...harness import peers, truth
from ...harness.contract import Array, Arrays, Call, Case, Deviation, Place
from .cases import CASES

name = "conv"
cases: Sequence[Case] = CASES
changed: Sequence[str] = ()

OPS = {
    "forward": "conv_forward", "input gradient": "conv_input_gradient", "weight gradient": "conv_weight_gradient",
}  # fmt: skip
GRADIENTS = ("input gradient", "weight gradient")
POINTS, GROUPS, FILTERS, CHANNELS = 128, 4, 8, 16  # how much of a result is checked
MANY_TERMS = 2**16
INSTRUCTION_K = 16
Part = tuple[Array, Array, Array]
Sums = tuple[Array, Array, Array]  # got, want, sums of the squared terms


def inputs(case: Case, place: Place) -> Arrays:
    """x, weight and for the gradients dy, as they lie in memory: NCHW and (k, c, r, s), or NHWC and (k, r, s, c)."""
    p = case.params
    shapes = {
        "x": (p["batch"], p["channels"], p["size"], p["size"]),
        "weight": (p["filters"], p["channels"] // p["groups"], p["kernel"], p["kernel"]),
        "dy": (p["batch"], p["filters"], *out_size(case)),
    }
    if p["direction"] == "forward":
        del shapes["dy"]
    if p["layout"] == "NHWC":
        shapes = {key: (n, h, w, c) for key, (n, c, h, w) in shapes.items()}
    return {key: place.normal(shape, case.dtype) for key, shape in shapes.items()}


def logical(case: Case, x: dict[str, Any]) -> dict[str, Any]:
    """The arrays, or tensors, with their channels on axis 1."""
    if case.params["layout"] == "NCHW":
        return x
    return {key: each.swapaxes(2, 3).swapaxes(1, 2) for key, each in x.items()}


def arithmetic(case: Case) -> str:
    """What the products and sums are computed in, the same for every contender."""
    return f"{case.dtype} in, float32 sums, {case.dtype} out"


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Ours, torch, and NumPy or CuPy for the layers that are products."""
    p, how = case.params, arithmetic(case)
    library = "torch" if place.name == "cpu" else "torch cuDNN"
    label = library + (" channels last" if p["layout"] == "NHWC" else " contiguous")
    return peers.too_much(case, place) or [
        peers.ours(place, how, lambda x: our_call(case, x), OPS[p["direction"]], dtype=case.dtype),
        peers.with_torch(place, how, lambda torch, x: torch_call(case, torch, x), label),
        product(case, place, how),
    ]


def our_call(case: Case, x: Arrays) -> Call:
    """pylayers.ops.conv and conv_backward."""
    p, x = case.params, logical(case, x)
    how = ops.geometry(x["weight"], p["stride"], p["padding"], 1, p["groups"])
    if p["direction"] == "forward":
        return lambda: (ops.conv(x["x"], x["weight"], None, how),)
    index = GRADIENTS.index(p["direction"])
    needs = index == 0, index == 1, False
    return lambda: ops.conv_backward(x["dy"], x["x"], x["x"].shape, x["weight"], how, needs)[index : index + 1]


def torch_call(case: Case, torch: Any, x: dict[str, Any]) -> Call:
    """torch.nn.functional.conv2d, and the gradients that its tape calls."""
    p, x = case.params, logical(case, x)
    if p["direction"] == "forward":
        conv2d = torch.nn.functional.conv2d
        return lambda: (conv2d(x["x"], x["weight"], None, p["stride"], p["padding"], 1, p["groups"]),)
    index, back = GRADIENTS.index(p["direction"]), torch.ops.aten.convolution_backward
    steps = [p["stride"]] * 2, [p["padding"]] * 2, [1, 1], False, [0, 0], p["groups"], [index == 0, index == 1, False]
    return lambda: back(x["dy"], x["x"], x["weight"], None, *steps)[index : index + 1]


def product(case: Case, place: Place, how: str) -> peers.Entry:
    """A convolution of single pixels as NumPy's or CuPy's operator @."""
    p, reason = case.params, ""
    if p["direction"] != "forward" or p["kernel"] != 1 or p["stride"] != 1:
        reason = "has no convolution of this kind"
    elif case.dtype != "float32":
        reason = f"has no {case.dtype} product with float32 sums"

    def prepare(xp: Any, x: Arrays) -> Call:
        image, weight = x["x"], x["weight"].reshape(p["filters"], p["channels"])
        if p["layout"] == "NHWC":
            return lambda: ((image @ weight.T).transpose(0, 3, 1, 2),)
        pixels, shape = image.reshape(p["batch"], p["channels"], -1), (p["batch"], p["filters"], *image.shape[2:])
        return lambda: ((weight @ pixels).reshape(shape),)

    return peers.with_arrays(place, how, prepare, reason)


# ------------------------------------------------------------------------------------------------------------ truth


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """Some pixels of y or dx with all their channels; some elements of dweight, each a sum over all images."""
    direction, x = case.params["direction"], logical(case, inputs)
    shape = x[{"input gradient": "x", "weight gradient": "weight"}.get(direction, "x")].shape
    if direction == "forward":
        shape = (*shape[:1], case.params["filters"], *out_size(case))
    found = truth.results_of(place, results, (shape, case.dtype))
    if found is None:
        return truth.WRONG_FORM
    check = {"forward": forward_sums, "input gradient": input_sums, "weight gradient": weight_sums}[direction]
    return truth.deviation(place, bounded(case, place, check(case, place, x, found[0])))


def out_size(case: Case) -> tuple[int, int]:
    """The spatial size of y."""
    p = case.params
    out = (p["size"] + 2 * p["padding"] - p["kernel"]) // p["stride"] + 1
    return out, out


def bounded(case: Case, place: Place, sums: Iterator[tuple[Sums, int]]) -> Iterator[Part]:
    """Sums of n terms with their bounds: rounding, truncation in tensor cores (16-bit operands), the last rounding."""
    xp = place.xp
    for (got, want, squares), terms in sums:
        bound = truth.sum_bound(xp, want, squares, terms) + truth.UNIT[case.dtype] * xp.abs(want)
        if case.dtype != "float32" and want.size:
            partial = float(xp.abs(want).max() + xp.sqrt(squares).max())
            bound = bound + 2.0**-24 * -(-terms // INSTRUCTION_K) * partial
        yield got, want, bound


def pixels(place: Place, n: int, height: int, width: int) -> tuple[Array, Array, Array]:
    """Image, row and column of some pixels, the first and the last among them."""
    flat = truth.sample(place, n * height * width, POINTS)
    return flat // (height * width), flat // width % height, flat % width


def taps(xp: Any, kernel: int) -> tuple[Array, Array]:
    """Row and column of every element of a kernel."""
    flat = xp.arange(kernel * kernel)
    return flat // kernel, flat % kernel


def gathered(place: Place, x: Array, n: Array, rows: Array, columns: Array, valid: Array, groups: int) -> Array:
    """Pixels (points, taps) of x (n, c, h, w), 0 where not valid, as (groups, points, taps * c/groups)."""
    xp, last = place.xp, x.transpose(0, 2, 3, 1)
    rows, columns = xp.clip(rows, 0, x.shape[2] - 1), xp.clip(columns, 0, x.shape[3] - 1)
    found = truth.wide(place, last, xp.broadcast_to(n, rows.shape).copy(), rows, columns) * valid[..., None]
    split = found.reshape(*found.shape[:2], groups, -1).transpose(2, 0, 1, 3)
    return split.reshape(groups, found.shape[0], -1)


def products(patches: Array, weight: Array, got: Array) -> Sums:
    """patches (g, points, q) by weight (g, q, c) beside got (points, g c)."""
    want, squares = (part.transpose(1, 0, 2).reshape(got.shape) for part in (patches @ weight, patches**2 @ weight**2))
    return got, want, squares


def forward_sums(case: Case, place: Place, x: Arrays, y: Array) -> Iterator[tuple[Sums, int]]:
    """y at some pixels."""
    p, xp = case.params, place.xp
    n, row, column = (each[:, None] for each in pixels(place, y.shape[0], *y.shape[2:]))
    r, s = taps(xp, p["kernel"])
    h, w = row * p["stride"] + r - p["padding"], column * p["stride"] + s - p["padding"]
    valid = (h >= 0) & (h < p["size"]) & (w >= 0) & (w < p["size"])
    patches = gathered(place, x["x"], n, h, w, valid, p["groups"])
    weight = truth.wide(place, x["weight"]).transpose(0, 2, 3, 1)
    weight = weight.reshape(p["groups"], p["filters"] // p["groups"], -1).swapaxes(1, 2)
    got = truth.wide(place, y.transpose(0, 2, 3, 1), n[:, 0], row[:, 0], column[:, 0])
    yield products(patches, weight, got), weight.shape[1]


def input_sums(case: Case, place: Place, x: Arrays, dx: Array) -> Iterator[tuple[Sums, int]]:
    """dx at some pixels: what each tap carried to them."""
    p, xp, (height, width) = case.params, place.xp, out_size(case)
    n, h, w = (each[:, None] for each in pixels(place, dx.shape[0], *dx.shape[2:]))
    r, s = taps(xp, p["kernel"])
    row, column = h + p["padding"] - r, w + p["padding"] - s
    valid = (row % p["stride"] == 0) & (column % p["stride"] == 0)
    row, column = row // p["stride"], column // p["stride"]
    valid &= (row >= 0) & (row < height) & (column >= 0) & (column < width)
    patches = gathered(place, x["dy"], n, row, column, valid, p["groups"])
    weight = truth.wide(place, x["weight"])
    weight = weight.reshape(p["groups"], -1, *weight.shape[1:]).transpose(0, 3, 4, 1, 2)
    weight = weight.reshape(p["groups"], -1, weight.shape[-1])
    got = truth.wide(place, dx.transpose(0, 2, 3, 1), n[:, 0], h[:, 0], w[:, 0])
    yield products(patches, weight, got), weight.shape[1]


def weight_sums(case: Case, place: Place, x: Arrays, dweight: Array) -> Iterator[tuple[Sums, int]]:
    """dweight for some filters and channels of some groups; where the sums are long, in the middle and two corners."""
    p, xp, (height, width) = case.params, place.xp, out_size(case)
    filters, channels = dweight.shape[0] // p["groups"], dweight.shape[1]
    r, s = taps(xp, p["kernel"])
    few = x["dy"].size < MANY_TERMS
    chosen = range(len(r)) if few else sorted({0, len(r) // 2, len(r) - 1})
    for group in map(int, truth.sample(place, p["groups"], GROUPS)):
        k, c = (
            int(place.integers((1,), max(most - few, 0) + 1)[0])
            for most, few in ((filters, FILTERS), (channels, CHANNELS))
        )
        ks, cs = (
            slice(group * filters + k, group * filters + min(k + FILTERS, filters)),
            slice(c, min(c + CHANNELS, channels)),
        )
        for tap in chosen:
            (top, rows), (left, columns) = (inside(case, int(t[tap]), out) for t, out in ((r, height), (s, width)))
            dy = truth.wide(place, x["dy"][:, ks, top, left]).transpose(1, 0, 2, 3)
            image = truth.wide(place, x["x"][:, group * channels + c : group * channels + cs.stop, rows, columns])
            dy, image = dy.reshape(dy.shape[0], -1), image.transpose(1, 0, 2, 3).reshape(image.shape[1], -1).T
            got = truth.wide(place, dweight[ks, cs, int(r[tap]), int(s[tap])])
            yield (got, dy @ image, dy**2 @ image**2), max(dy.shape[1], 1)


def inside(case: Case, tap: int, out: int) -> tuple[slice, slice]:
    """Which results a tap takes part in along one axis, and which pixels it reads for them."""
    p = case.params
    first = max(0, -(-(p["padding"] - tap) // p["stride"]))
    end = max(first, min(out, (p["size"] - 1 + p["padding"] - tap) // p["stride"] + 1))
    start = first * p["stride"] + tap - p["padding"]
    return slice(first, end), slice(
        start, start + (end - first - 1) * p["stride"] + 1 if end > first else start, p["stride"]
    )

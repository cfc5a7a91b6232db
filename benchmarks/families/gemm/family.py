"""Matrix products y = activation(a b + bias) + residual: ours beside torch (cuBLAS, cuBLASLt), NumPy and CuPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pylayers import backends, ops
from pylayers.backends.contract.op import EIGHT_BITS
from pylayers.context import get_float32_matmul_precision, set_float32_matmul_precision

from ...harness import peers, truth
from ...harness.contract import Absent, Array, Arrays, Call, Case, Deviation, Place
from .cases import CASES, out_dtype

name = "gemm"
cases: Sequence[Case] = CASES
changed: Sequence[str] = ()

INSTRUCTION_K = {"float32": 0, "tf32": 8, "bfloat16": 16, "float16": 16, "float8_e4m3fn": 32, "float8_e5m2": 32}
STEEPEST = 1.13  # the largest slope of the activations: gelu's, at sqrt(2)
CHECKED = 2**28  # products of two numbers that a check computes, at most, beyond a row of each strip
STRIPS = 128  # so that every tile of 64 rows of the largest case is met


def inputs(case: Case, place: Place) -> Arrays:
    """a and b as they lie in memory, and what the epilogue takes."""
    p = case.params
    lead = (p["batch"],) if p["batch"] else ()
    a = (p["k"], p["m"]) if p["layout"][0] == "t" else (p["m"], p["k"])
    b = (p["n"], p["k"]) if p["layout"][1] == "t" else (p["k"], p["n"])
    arrays = {"a": operand(place, (*lead, *a), case.dtype), "b": operand(place, (*lead, *b), p["b_dtype"])}
    if p["epilogue"] == "residual":
        arrays["residual"] = place.normal((p["m"], p["n"]), out_dtype(case.dtype))
    elif p["epilogue"]:
        arrays["bias"] = place.normal((p["n"],), out_dtype(case.dtype))
    if case.dtype.startswith("float8"):
        for scale in ("scale_a", "scale_b"):
            arrays[scale] = abs(place.normal((1,), "float32")) + 0.5
    return arrays


def operand(place: Place, shape: Sequence[int], dtype: str) -> Array:
    """Zero-mean numbers: normal, or for int8 any of -127 ... 127."""
    if dtype == "int8":
        return (place.integers(shape, 255) - 127).astype("int8")
    return place.normal(shape, in_memory(dtype))


def matrices(case: Case, x: Arrays) -> tuple[Array, Array]:
    """a (..., m, k) and b (..., k, n) as views; of arrays or tensors."""
    a, b = x["a"], x["b"]
    return (
        a.swapaxes(-1, -2) if case.params["layout"][0] == "t" else a,
        b.swapaxes(-1, -2) if case.params["layout"][1] == "t" else b,
    )


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Ours, torch in its forms, NumPy or CuPy."""
    if case.dtype == "tf32" and place.name == "cpu":
        return peers.nobody(place, "TF32 is a format of GPUs")
    absent = peers.too_much(case, place)
    if absent:
        return absent
    own = peers.ours(place, arithmetic(case), lambda x: our_call(case, place, x), "gemm", dtype=in_memory(case.dtype))
    return [own, *torch_entries(case, place), array_entry(case, place)]


def in_memory(dtype: str) -> str:
    """TF32 is how float32 is multiplied."""
    return "float32" if dtype == "tf32" else dtype


def arithmetic(case: Case) -> str:
    """What the products and sums are computed in, the same for every contender."""
    types = case.dtype if case.params["b_dtype"] == case.dtype else f"{case.dtype} by {case.params['b_dtype']}"
    return f"{types} in, {'int32' if case.dtype == 'int8' else 'float32'} sums, {out_dtype(case.dtype)} out"


def our_call(case: Case, place: Place, x: Arrays) -> Call:
    """pylayers.ops; the eight-bit products, which have no form there yet, on the backend."""
    a, b = matrices(case, x)
    epilogue = case.params["epilogue"]
    if case.dtype in EIGHT_BITS:
        gemm = backends.load(place.backend).gemm
        return lambda: (gemm(a, b, scale_a=x.get("scale_a"), scale_b=x.get("scale_b")),)
    if epilogue == "residual":
        return lambda: (ops.add_matmul("addmm", x["residual"], a, b),)
    if epilogue:
        activation: Any = None if epilogue == "bias" else epilogue
        return lambda: (ops.linear(a, x["b"], x["bias"], activation),)
    if case.dtype != "tf32":
        return lambda: (ops.matmul(a, b),)
    return permitting_tf32(get_float32_matmul_precision, set_float32_matmul_precision, lambda: (ops.matmul(a, b),))


def permitting_tf32(get: Callable[[], str], set_to: Callable[[str], None], call: Call) -> Call:
    """The call while products of float32 may be TF32; ours and torch name that setting alike."""

    def permitted() -> Sequence[Array]:
        before = get()
        set_to("high")
        try:
            return call()
        finally:
            set_to(before)

    return permitted


def torch_entries(case: Case, place: Place) -> list[peers.Entry]:
    """The plain form on every place; on a GPU also cuBLASLt's own epilogue and torch.compile where they differ."""
    how, epilogue, gpu = arithmetic(case), case.params["epilogue"], place.name != "cpu"
    if case.dtype.startswith("float8") and not gpu:
        return [Absent("torch", "torch._scaled_mm is for GPUs")]
    label = "torch cuBLAS" if gpu else "torch"
    entries = [peers.with_torch(place, how, lambda torch, x: torch_call(case, torch, x), label)]
    if gpu and epilogue in ("relu", "gelu_tanh"):
        entries.append(
            peers.with_torch(place, how, lambda torch, x: lt_call(case, torch, x), "torch cuBLASLt epilogue")
        )
    if gpu and epilogue not in ("", "bias"):
        entries.append(peers.compiled(place, how, lambda torch, x: torch_product(case, torch, x)))
    return entries


def torch_call(case: Case, torch: Any, x: dict[str, Any]) -> Call:
    """torch's product, the parts of its split sums in float32 as ours are."""
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False

    def call() -> Sequence[Array]:
        return (torch_product(case, torch, x),)

    if case.dtype != "tf32":
        return call
    return permitting_tf32(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, call)


def torch_product(case: Case, torch: Any, x: dict[str, Any]) -> Any:
    """The tensor y."""
    a, b = matrices(case, x)
    functional, epilogue = torch.nn.functional, case.params["epilogue"]
    if case.dtype == "int8":
        return torch._int_mm(a, b)
    if case.dtype.startswith("float8"):
        return torch._scaled_mm(a, b, scale_a=x["scale_a"], scale_b=x["scale_b"], out_dtype=torch.bfloat16)
    if epilogue == "residual":
        return torch.addmm(x["residual"], a, b)
    if not epilogue:
        return torch.matmul(a, b)
    y = torch.addmm(x["bias"], a, b)
    if epilogue == "gelu_tanh":
        return functional.gelu(y, approximate="tanh")
    return y if epilogue == "bias" else getattr(functional, epilogue)(y)


def lt_call(case: Case, torch: Any, x: dict[str, Any]) -> Call:
    """Bias and activation inside cuBLASLt's product; its GELU is the tanh form."""
    a, b = matrices(case, x)
    gelu = case.params["epilogue"] == "gelu_tanh"
    return lambda: (torch._addmm_activation(x["bias"], a, b, use_gelu=gelu),)


def array_entry(case: Case, place: Place) -> peers.Entry:
    """NumPy's or CuPy's operator @, and what they have of the epilogues."""
    library, epilogue, reason = peers.library_name(place), case.params["epilogue"], ""
    if case.dtype not in (("float32", "float16") if library == "CuPy" else ("float32",)):
        reason = f"{library} has no {case.dtype} product with {'int32' if case.dtype == 'int8' else 'float32'} sums"
    elif epilogue in ("gelu", "gelu_tanh", "silu"):
        reason = f"{library} has no {epilogue}"

    def prepare(xp: Any, x: Arrays) -> Call:
        a, b = matrices(case, x)
        if epilogue == "relu":
            return lambda: (xp.maximum(a @ b + x["bias"], 0),)
        added = x.get("bias", x.get("residual"))
        return (lambda: (a @ b,)) if added is None else (lambda: (a @ b + added,))

    return peers.with_arrays(place, arithmetic(case), prepare, reason)


# ------------------------------------------------------------------------------------------------------------ truth


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """All of y, or whole rows: the first, the last and one of each strip, of as many batches."""
    p = case.params
    shape = (p["batch"], p["m"], p["n"]) if p["batch"] else (p["m"], p["n"])
    found = truth.results_of(place, results, (shape, out_dtype(case.dtype)))
    if found is None:
        return truth.WRONG_FORM
    rows = truth.sample(place, p["m"], max(STRIPS, CHECKED // max(p["n"] * p["k"], 1)))
    if not p["batch"]:
        return truth.deviation(place, [compared(case, place, inputs, found[0], rows)])
    strips = max(1, CHECKED // max(len(rows) * p["n"] * p["k"], 1))
    chosen = truth.sample(place, p["batch"], max(strips, STRIPS // 4))
    parts = (
        compared(case, place, {key: inputs[key][i] for key in ("a", "b")}, found[0][i], rows) for i in map(int, chosen)
    )
    return truth.deviation(place, parts)


def compared(case: Case, place: Place, x: Arrays, y: Array, rows: Array) -> tuple[Array, Array, Array]:
    """The chosen rows of y (m, n), what they should be, and by how much they may differ."""
    xp, layout, epilogue = place.xp, case.params["layout"], case.params["epilogue"]
    every = slice(None)
    a = truth.wide(place, x["a"], every, rows).T if layout[0] == "t" else truth.wide(place, x["a"], rows)
    b = truth.wide(place, x["b"])
    b = b.T if layout[1] == "t" else b
    want, squares = a @ b, (a * a) @ (b * b)
    bound = product_bound(case, xp, want, squares)
    for scale in ("scale_a", "scale_b"):
        if scale in x:
            factor = truth.wide(place, x[scale])
            want, bound = want * factor, bound * factor
    unit = truth.UNIT[out_dtype(case.dtype)]
    if epilogue:
        bound = bound + unit * xp.abs(want)  # who adds the epilogue afterwards has rounded before
        want = want + (
            truth.wide(place, x["residual"], rows) if epilogue == "residual" else truth.wide(place, x["bias"])
        )
    if epilogue not in ("", "bias", "residual"):
        # ... and the argument of the activation, which itself is right to some units of float32.
        bound = STEEPEST * (bound + (unit + 16 * truth.U) * xp.abs(want))
        want = activated(place, want, epilogue)
    return truth.wide(place, y, rows), want, bound + unit * xp.abs(want)


def product_bound(case: Case, xp: Any, want: Array, squares: Array) -> Array:
    """4 u sqrt(k) (sqrt(squares) + |t|), and 2^-24 (k / k_instruction) max|partial| for tensor cores, which truncate.

    fp8 keeps 13 bits of sums that begin anew every 128 k. TF32 cuts 13 bits off each factor. int8 is exact.
    """
    k = case.params["k"]
    if case.dtype == "int8":
        return xp.zeros_like(want)
    bound = truth.sum_bound(xp, want, squares, k)
    if INSTRUCTION_K[case.dtype]:
        eight = case.dtype.startswith("float8")
        # Sums on the way are hardly larger than the largest of all results (reflection), and shorter ones by the root.
        partial = float(xp.abs(want).max() + xp.sqrt(squares).max()) * (min(128 / k, 1) ** 0.5 if eight else 1)
        bound = bound + (2.0**-13 if eight else 2.0**-24) * -(-k // INSTRUCTION_K[case.dtype]) * partial
    if case.dtype == "tf32":
        bound = bound + 2.0**-9 * (2 * xp.sqrt(squares) + xp.abs(want))
    return bound


def activated(place: Place, v: Array, activation: str) -> Array:
    """activation(v) in float64."""
    xp = place.xp
    if activation == "relu":
        return xp.maximum(v, 0)
    if activation == "silu":
        return v / (1 + xp.exp(-v))
    if activation == "gelu_tanh":
        return v / 2 * (1 + xp.tanh((2 / xp.pi) ** 0.5 * (v + 0.044715 * v**3)))
    return v / 2 * peers.special(place).erfc(-v / 2**0.5)

"""Attention o = softmax(q k^T / sqrt(d)) v and its gradients: ours beside torch's SDPA, each of its backends forced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pylayers import ops

from ...harness import peers, truth
from ...harness.contract import Absent, Array, Arrays, Call, Case, Deviation, Place
from .cases import CASES
from .truth import forward_parts, gradient_parts

name = "attention"
cases: Sequence[Case] = CASES
changed: Sequence[str] = ()

BACKENDS = {"flash": "FLASH_ATTENTION", "cuDNN": "CUDNN_ATTENTION", "efficient": "EFFICIENT_ATTENTION", "math": "MATH"}
MOST_SCORES = 2**31  # numbers of a whole score matrix, for those who write it to memory
CHUNK = 2**26  # scores at a time while the arguments of a backward pass are made

TorchCall = Callable[[Any, dict[str, Any]], Call]


def inputs(case: Case, place: Place) -> Arrays:
    """q (b, h, s, d), k and v (b, h_kv, t, d); backward also do, o and the log-sum-exp (b, h, s) of the forward."""
    p = case.params
    q, kv = (p["batch"], p["heads"], p["queries"], p["head"]), (p["batch"], p["kv_heads"], p["keys"], p["head"])
    x = {"q": place.normal(q, case.dtype), "k": place.normal(kv, case.dtype), "v": place.normal(kv, case.dtype)}
    if p["direction"] == "backward":
        o, x["lse"] = forward(case, place, x)
        x["o"], x["do"] = truth.rounded(place, o, case.dtype), place.normal(q, case.dtype)
    return x


def forward(case: Case, place: Place, x: Arrays) -> tuple[Array, Array]:
    """o and the log-sum-exp in float32, some rows at a time."""
    p, xp = case.params, place.xp
    o, lse = xp.empty(x["q"].shape, "float32"), xp.empty(x["q"].shape[:3], "float32")
    rows = max(1, CHUNK // (p["heads"] * p["keys"]))
    for b in range(p["batch"]):
        q, k, v = (truth.wide(place, x[key][b]).astype("float32") for key in ("q", "k", "v"))
        k, v = (xp.repeat(part, p["heads"] // p["kv_heads"], axis=0) for part in (k, v))
        for begin in range(0, p["queries"], rows):
            part = slice(begin, min(begin + rows, p["queries"]))
            score = q[:, part] @ k.swapaxes(1, 2) * p["head"] ** -0.5
            hide(case, xp, score, xp.arange(p["queries"])[part, None])
            top = score.max(axis=-1, keepdims=True)
            weight = xp.exp(score - top)
            total = weight.sum(axis=-1, keepdims=True)
            o[b, :, part], lse[b, :, part] = weight @ v / total, (top + xp.log(total))[..., 0]
    return o, lse


def hide(case: Case, xp: Any, score: Array, rows: Array) -> None:
    """Sets the scores (..., rows, t) of keys that a query does not see to -inf; rows (r, 1)."""
    p, keys = case.params, xp.arange(case.params["keys"])
    if p["causal"]:
        score[..., keys > rows] = -math.inf
    if p["window"]:
        score[..., keys <= rows - p["window"]] = -math.inf


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Ours, torch in each of its forms, and NumPy or CuPy where one expression does it."""
    return peers.too_much(case, place) or [our_entry(case, place), *torch_entries(case, place), *plain(case, place)]


def arithmetic(case: Case) -> str:
    """What every contender is asked for."""
    return f"{case.dtype} in, float32 sums, {case.dtype} out"


def our_entry(case: Case, place: Place) -> peers.Entry:
    """pylayers.ops.attention and attention_backward."""
    p = case.params
    for feature, what in (("window", "a window"), ("lengths", "sequences of several lengths in one batch")):
        if p[feature]:
            return Absent("pylayers", f"attention does not take {what} yet", ours=True)
    causal, grouped = p["causal"], p["heads"] != p["kv_heads"]

    def run_forward(x: Arrays) -> Call:
        return lambda: ops.attention(ops.problem(x["q"], x["k"], x["v"], None, causal, None, grouped))[:1]

    def run_backward(x: Arrays) -> Call:
        shapes = x["q"].shape, x["k"].shape, x["v"].shape

        def call() -> Sequence[Array]:
            how = ops.problem(x["q"], x["k"], x["v"], None, causal, None, grouped)
            return ops.attention_backward(x["do"], how, x["o"], x["lse"].reshape(how.q.shape[:3]), shapes)

        return call

    backward = p["direction"] == "backward"
    op = "attention_backward" if backward else "attention_forward"
    return peers.ours(place, arithmetic(case), run_backward if backward else run_forward, op, dtype=case.dtype)


def torch_entries(case: Case, place: Place) -> list[peers.Entry]:
    """SDPA with each backend forced; for packed sequences and windows the flash kernel by its own name."""
    p, how, gpu = case.params, arithmetic(case), place.name != "cpu"
    if p["lengths"] or p["window"]:
        label = "torch flash, packed" if p["lengths"] else "torch flash, window"
        if not gpu:
            return [Absent(label, "torch has it for GPUs only")]
        return [peers.with_torch(place, how, lambda torch, x: flash(case, torch, x), label)]
    entries: list[peers.Entry] = []
    for label in BACKENDS if gpu else ("flash", "math"):
        reason = unsuited(case, label)
        full = f"torch SDPA {label}"
        prepare = backward_with(case, place, label) if p["direction"] == "backward" else forward_with(case, label)
        entries.append(Absent(full, reason) if reason else peers.with_torch(place, how, prepare, full))
    return entries


def unsuited(case: Case, label: str) -> str:
    """Why a backend of SDPA does not take part; empty where it does or says so itself."""
    p, backward = case.params, case.params["direction"] == "backward"
    if label == "efficient" and p["heads"] != p["kv_heads"]:
        return "does not share heads"
    if label == "efficient" and backward and p["queries"] % 32:
        return "pads its log-sum-exp to a multiple of 32 queries; the given one is not padded"
    if label != "math":
        return ""
    if backward:
        return "has no backward of its own, only that of its parts on the tape"
    scores = p["batch"] * p["heads"] * p["queries"] * p["keys"]
    return f"would write {scores:.1e} scores to memory" if scores > MOST_SCORES else ""


def forward_with(case: Case, label: str) -> TorchCall:
    """torch.nn.functional.scaled_dot_product_attention where only one backend is allowed."""
    causal, grouped = case.params["causal"], case.params["heads"] != case.params["kv_heads"]

    def prepare(torch: Any, x: dict[str, Any]) -> Call:
        attention = torch.nn.attention
        function = torch.nn.functional.scaled_dot_product_attention
        backend = getattr(attention.SDPBackend, BACKENDS[label])

        def call() -> Sequence[Array]:
            with torch.no_grad(), attention.sdpa_kernel(backend):
                return (function(x["q"], x["k"], x["v"], is_causal=causal, enable_gqa=grouped),)

        return call

    return prepare


def backward_with(case: Case, place: Place, label: str) -> TorchCall:
    """The backward kernel of one backend of SDPA, on the given o and log-sum-exp.

    A forward first tells the form of its log-sum-exp and the rest that the backward wants; none of it depends on the
    numbers, since nothing is dropped out.
    """
    causal = case.params["causal"]
    stem = f"_scaled_dot_product_{label.lower()}_attention" + ("" if place.name != "cpu" else "_for_cpu")

    def prepare(torch: Any, x: dict[str, Any]) -> Call:
        run, back = getattr(torch.ops.aten, stem), getattr(torch.ops.aten, stem + "_backward")
        q, k, v, do, o = (x[key] for key in ("q", "k", "v", "do", "o"))
        bias = {"flash": (), "efficient": (None, True), "cuDNN": (None, True)}[label]
        left = run(q, k, v, *bias, 0.0, causal)
        lse = x["lse"].view(left[1].shape)
        if place.name == "cpu":
            return lambda: back(do, q, k, v, o, lse, 0.0, causal)
        if label == "flash":
            return lambda: back(do, q, k, v, o, lse, *left[2:6], 0.0, causal, *left[6:8])
        if label == "efficient":
            wanted = [True, True, True, False]
            return lambda: back(do, q, k, v, None, o, lse, *left[2:4], 0.0, wanted, causal)[:3]
        return lambda: back(do, q, k, v, o, lse, *left[6:8], None, *left[2:6], 0.0, causal)

    return prepare


def flash(case: Case, torch: Any, x: dict[str, Any]) -> Call:
    """torch's flash kernel for windows and for packed sequences; it takes (b, s, h, d), or (tokens, h, d)."""
    p, aten = case.params, torch.ops.aten
    q, k, v = (x[key].transpose(1, 2) for key in ("q", "k", "v"))
    starts, longest, options = None, p["queries"], {}
    if p["lengths"]:
        q, k, v = q[0], k[0], v[0]
        sums = torch.tensor([0, *p["lengths"]]).cumsum(0)
        starts, longest = sums.to(q.device, torch.int32), max(p["lengths"])
    if p["window"]:
        options = {"window_size_left": p["window"] - 1, "window_size_right": 0}
    sizes = starts, starts, longest, longest, 0.0, p["causal"]
    left = aten._flash_attention_forward(q, k, v, *sizes, False, **options)
    if p["direction"] == "backward":
        do, o = (x[key].transpose(1, 2) for key in ("do", "o"))
        lse = x["lse"].view(left[1].shape)
        back = aten._flash_attention_backward
        return lambda: tuple(dx.transpose(1, 2) for dx in back(do, q, k, v, o, lse, *sizes, *left[2:4], **options))

    def call() -> Sequence[Array]:
        o = aten._flash_attention_forward(q, k, v, *sizes, False, **options)[0]
        return ((o[None] if p["lengths"] else o).transpose(1, 2),)

    return call


def plain(case: Case, place: Place) -> list[peers.Entry]:
    """softmax(q k^T / sqrt(d)) @ v as one expression of NumPy and SciPy, or CuPy."""
    p = case.params
    if p["direction"] == "backward" or p["causal"] or p["lengths"] or p["window"]:
        return []
    reason = "" if case.dtype == "float32" else f"has no {case.dtype} product with float32 sums"
    if p["heads"] != p["kv_heads"]:
        reason = "does not share heads"
    softmax, scale = peers.special(place).softmax, p["head"] ** -0.5

    def prepare(xp: Any, x: Arrays) -> Call:
        q, k, v = x["q"], x["k"].swapaxes(-1, -2), x["v"]
        return lambda: (softmax(q @ k * xp.float32(scale), axis=-1) @ v,)

    return [peers.with_arrays(place, arithmetic(case), prepare, reason)]


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """Some rows of some heads, the first and the last among them, of each result."""
    names = ("q", "k", "v") if case.params["direction"] == "backward" else ("q",)
    found = truth.results_of(place, results, *((inputs[key].shape, case.dtype) for key in names))
    if found is None:
        return truth.WRONG_FORM
    parts = gradient_parts if len(names) == 3 else forward_parts
    return truth.deviation(place, parts(case, place, inputs, found))

"""The family `calls`: a linear layer so small that a call costs what its way to the kernel costs, by each face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pylayers.nn.functional as F
from pylayers import nn
from pylayers.autograd import Tensor, no_grad
from pylayers.ops import linear

from ...harness import peers, truth
from ...harness.contract import Array, Arrays, Call, Case, Deviation, Place
from ...harness.dtypes import SHORT

name = "calls"
ROWS, COLUMNS, INNER = 4, 16, 8
changed: Sequence[str] = ()
FACES = ("ops", "functional", "functional with grad", "nn", "nn with grad")
ARITHMETIC = "float32 in, float32 sums, float32 out"


def call(group: str, face: str, rows: int, columns: int, inner: int) -> Case:
    """x weight^T + bias; in the group "tiny" a call takes what its way to the kernel takes."""
    count = rows * inner + columns * inner + columns + rows * columns
    params = {"face": face, "rows": rows, "columns": columns, "inner": inner}
    full = f"{SHORT['float32']} linear {rows}x{columns}x{inner}, {face}"
    return Case("calls", full, group, "float32", 2 * rows * columns * inner, 4 * count, params, group == "tiny", True)


# And behind products that keep a GPU busy for longer than the call takes.
cases: Sequence[Case] = (
    *(call("tiny", face, ROWS, COLUMNS, INNER) for face in FACES),
    *(call("large", face, 8192, 4096, 4096) for face in ("ops", "nn with grad")),
)


def inputs(case: Case, place: Place) -> Arrays:
    """x (rows, inner), weight (columns, inner), bias (columns,)."""
    p = case.params
    shapes = {"x": (p["rows"], p["inner"]), "weight": (p["columns"], p["inner"]), "bias": (p["columns"],)}
    return {key: place.normal(shape, "float32") for key, shape in shapes.items()}


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """The same face of ours and of torch; for plain arrays also NumPy or CuPy."""
    face, _, grad = case.params["face"].partition(" ")
    entries = [
        peers.ours(place, ARITHMETIC, lambda x: our_call(face, bool(grad), x), "gemm"),
        peers.with_torch(place, ARITHMETIC, lambda torch, x: torch_call(face, bool(grad), torch, x)),
    ]
    if face == "ops":
        entries.append(
            peers.with_arrays(place, ARITHMETIC, lambda xp, x: lambda: (x["x"] @ x["weight"].T + x["bias"],))
        )
    return peers.too_much(case, place) or entries


def our_call(face: str, grad: bool, x: Arrays) -> Call:
    """pylayers.ops on arrays, pylayers.functional on tensors, or a layer of pylayers.nn."""
    if face == "ops":
        return lambda: (linear(x["x"], x["weight"], x["bias"]),)
    image, weight, bias = (Tensor(x[key], requires_grad=grad and key != "x") for key in ("x", "weight", "bias"))
    layer = nn.Linear(*reversed(x["weight"].shape))
    parameters: Any = (layer.weight, weight), (layer.bias, bias)
    for parameter, tensor in parameters:
        parameter.array = tensor.array

    def forward() -> Sequence[Any]:
        return ((layer(image) if face == "nn" else F.linear(image, weight, bias)).array,)

    def quietly() -> Sequence[Any]:
        with no_grad():
            return forward()

    return forward if grad else quietly


def torch_call(face: str, grad: bool, torch: Any, x: dict[str, Any]) -> Call:
    """torch.nn.functional, or a layer of torch.nn."""
    layer = torch.nn.Linear(INNER, COLUMNS, device=x["x"].device)
    layer.weight.data, layer.bias.data = x["weight"], x["bias"]
    image, weight, bias, function = x["x"], layer.weight, layer.bias, torch.nn.functional.linear

    def forward() -> Sequence[Any]:
        return (layer(image) if face == "nn" else function(image, weight, bias),)

    def quietly() -> Sequence[Any]:
        with torch.no_grad():
            return forward()

    return forward if grad else quietly


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """All of y."""
    found = truth.results_of(place, results, ((case.params["rows"], case.params["columns"]), "float32"))
    if found is None:
        return truth.WRONG_FORM
    x, weight, bias = (truth.wide(place, inputs[key]) for key in ("x", "weight", "bias"))
    want, squares = x @ weight.T + bias, x**2 @ weight.T**2 + bias**2
    bound = truth.sum_bound(place.xp, want, squares, case.params["inner"] + 1) + truth.U * abs(want)
    return truth.deviation(place, [(truth.wide(place, found[0]), want, bound)])

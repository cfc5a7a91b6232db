"""Every function of pylayers.functional against torch: kept results always, live ones where torch is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
from goldens.cases import CASES, Case, draw

import pylayers
import pylayers.nn.functional as F
from pylayers.autograd import Tensor

GOLDENS = Path(__file__).parents[1] / "support/goldens"
FLOAT32 = 1e-5  # of the larger of 1 and the largest element
FLOAT64 = 1e-10


@pytest.fixture(scope="module")
def goldens() -> Any:
    with np.load(GOLDENS / "functional.npz") as kept:
        return dict(kept)


def assert_close(name: str, got: np.ndarray, wanted: np.ndarray, dtype: type) -> None:
    """Shapes and dtype equal, max |difference| within the bound of the dtype."""
    assert got.shape == wanted.shape, (name, got.shape, wanted.shape)
    assert got.dtype == dtype, (name, got.dtype)
    bound = (FLOAT64 if dtype == np.float64 else FLOAT32) * max(1.0, abs(wanted).max(initial=0.0))
    error = abs(got.astype(np.float64) - wanted).max(initial=0.0)
    assert error <= bound, (name, error, bound)


def run(case: Case, inputs: list[np.ndarray], dy: np.ndarray, dtype: type) -> dict[str, np.ndarray]:
    """The result and the gradients for the cotangent dy, all floating inputs cast to dtype."""
    tensors = [Tensor(x.astype(dtype) if x.dtype.kind == "f" else x) for x in inputs]
    for index in case.differentiable:
        tensors[index].requires_grad_()
    result = case.call(F, *tensors)
    y, *others = result if isinstance(result, tuple) else (result,)
    y.backward(Tensor(dy.astype(dtype)))
    arrays = {"y": y.detach().numpy()} | {f"d{i}": tensors[i].grad.numpy() for i in case.differentiable}
    return arrays | {f"y{i}": other.numpy() for i, other in enumerate(others, 1)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, dtype: type, goldens: dict[str, np.ndarray]) -> None:
    """Float64 to 1e-10 and float32 to 1e-5 of what torch computed in float64."""
    case = CASES[name]
    inputs = [goldens[f"{name}/x{i}"] for i in range(len(case.inputs))]
    got = run(case, inputs, goldens[f"{name}/dy"], dtype)
    for key, value in got.items():
        wanted = goldens[f"{name}/{key}"]
        if value.dtype.kind == "i":
            assert (value == wanted).all(), (name, key)
        else:
            assert_close(f"{name} {key}", value, wanted, dtype)
    assert abs(got["y"]).max() > 0, "the golden itself is trivial"


# What has no kernel yet, and the words of the refusal.
NO_KERNEL = {
    "conv3d": "expected one or two spatial dimensions, got 3",
    "max_pool3d": "expected one or two spatial dimensions, got 3",
    "avg_pool1d": "has no kernel for it yet",
    "avg_pool2d": "has no kernel for it yet",
    "avg_pool2d_exclude": "has no kernel for it yet",
    "avg_pool3d": "has no kernel for it yet",
}


@pytest.mark.parametrize("name", CASES)
def test_golden_on_the_kernels(name: str, goldens: dict[str, np.ndarray]) -> None:
    """The emulated backend in float32 to 1e-5 of what torch computed in float64, or a clear refusal."""
    emulated.load()
    case = CASES[name]
    inputs = [goldens[f"{name}/x{i}"] for i in range(len(case.inputs))]
    with pylayers.backend("emulated"):
        if name in NO_KERNEL:
            with pytest.raises(NotImplementedError, match=NO_KERNEL[name]):
                run(case, inputs, goldens[f"{name}/dy"], np.float32)
            return
        got = run(case, inputs, goldens[f"{name}/dy"], np.float32)
    for key, value in got.items():
        if value.dtype.kind == "i":
            assert (value == goldens[f"{name}/{key}"]).all(), (name, key)
        else:
            assert_close(f"{name} {key}", value, goldens[f"{name}/{key}"], np.float32)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_live(name: str, dtype: type) -> None:
    """As `test_golden` on fresh inputs, against torch in the same dtype."""
    torch = pytest.importorskip("torch")
    case = CASES[name]
    inputs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in draw(name, case, salt=1)]
    tensors = [torch.tensor(x) for x in inputs]
    for index in case.differentiable:
        tensors[index].requires_grad_()
    result = case.call(torch.nn.functional, *tensors)
    y = result[0] if isinstance(result, tuple) else result
    dy = np.asarray(np.random.default_rng(7).normal(size=tuple(y.shape))).astype(dtype)
    y.backward(torch.tensor(dy))
    got = run(case, inputs, dy, dtype)
    assert_close(f"{name} y", got["y"], y.detach().numpy(), dtype)
    for index in case.differentiable:
        assert_close(f"{name} d{index}", got[f"d{index}"], tensors[index].grad.numpy(), dtype)


@pytest.mark.parametrize(
    "name",
    [
        "linear_batches",
        "conv2d_groups",
        "max_pool2d",
        "softmax_middle",
        "layer_norm",
        "attention_grouped",
        "avg_pool2d",
    ],
)
def test_strides_do_not_matter(name: str) -> None:
    """Transposed, sliced and broadcast inputs and cotangents give what their contiguous copies give."""
    case = CASES[name]
    inputs = draw(name, case, salt=2)
    shape = case.call(F, *inputs).shape
    dy = np.broadcast_to(np.random.default_rng(0).normal(size=(1,) * (len(shape) - 1) + shape[-1:]), shape)
    plain = run(case, inputs, np.array(dy), np.float64)
    strided = [_strided(x) for x in inputs]
    tensors = [Tensor(x) for x in strided]
    for index in case.differentiable:
        tensors[index].requires_grad_()
    result = case.call(F, *tensors)
    result.backward(Tensor(dy))
    assert_close("y", result.detach().numpy(), plain["y"], np.float64)
    for index in case.differentiable:
        assert_close(f"d{index}", tensors[index].grad.numpy(), plain[f"d{index}"], np.float64)


def _strided(x: np.ndarray) -> np.ndarray:
    """x in a larger array, axes reversed in memory, every second element, backwards along the first axis."""
    home = np.full([2 * size for size in x.shape[::-1]], np.nan)
    view = home[tuple(slice(None, None, 2) for _ in x.shape)].transpose()[::-1]
    view[...] = x
    return view


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("layer", ["linear", "conv2d"])
def test_fused_activation_is_the_composition(layer: str, activation: str) -> None:
    """linear and conv2d with `activation` give the same result and gradients as the two calls."""
    rng = np.random.default_rng(3)
    shapes = ((4, 3), (5, 3), (5,)) if layer == "linear" else ((2, 3, 5, 5), (4, 3, 2, 2), (4,))
    arrays = [rng.normal(size=shape) for shape in shapes]
    function = getattr(F, layer)
    results = []
    for fused in (True, False):
        tensors = [Tensor(x, requires_grad=True) for x in arrays]
        if fused:
            y = function(*tensors, activation=activation)
        else:
            y = function(*tensors)
            y = F.gelu(y, "tanh") if activation == "gelu_tanh" else getattr(F, activation)(y)
        dy = np.random.default_rng(4).normal(size=y.shape)
        y.backward(Tensor(dy))
        results.append([y.detach().numpy(), *(t.grad.numpy() for t in tensors)])
    for one, other in zip(*results, strict=True):
        assert_close(activation, one, other, np.float64)
    with pylayers.no_grad():
        assert_close(activation, function(*tensors, activation=activation).numpy(), results[0][0], np.float64)


def test_every_row_ignored() -> None:
    """As torch: the mean over no rows is NaN, its gradient 0, and the sum is 0."""
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    labels = np.full(2, -100)
    loss = F.cross_entropy(x, labels)
    loss.backward()
    assert np.isnan(loss.item())
    assert (x.grad.numpy() == 0).all()
    assert F.cross_entropy(x, labels, reduction="sum").item() == 0


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_cross_entropy_is_stable_under_shifts(shift: float) -> None:
    x = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    labels = np.arange(6) % 5
    # Adding the shift rounds x itself: compare with the loss of what it rounds to.
    rounded = (x + np.float32(shift)).astype(np.float64) - shift
    wanted = F.cross_entropy(rounded, labels).item()
    got = F.cross_entropy(x + np.float32(shift), labels).item()
    assert abs(got - wanted) <= 1e-5 * max(1.0, abs(wanted))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_labels_of_any_integer_dtype(dtype: type) -> None:
    x = np.random.default_rng(1).normal(size=(4, 3))
    labels = np.array([0, 2, 1, 2])
    assert F.cross_entropy(x, labels.astype(dtype)).item() == F.cross_entropy(x, labels).item()


def test_constant_arguments_refuse_gradients() -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    weight = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(NotImplementedError, match="class weights have no gradient"):
        F.cross_entropy(x, np.array([0, 1]), weight)
    q = np.ones((2, 3))
    with pytest.raises(NotImplementedError, match="attn_mask has no gradient yet"):
        F.scaled_dot_product_attention(q, q, q, Tensor(np.zeros((2, 2)), requires_grad=True))


@pytest.mark.parametrize("name", ["linear", "conv2d", "layer_norm", "cross_entropy", "attention", "gelu"])
def test_inputs_stay_as_they_are(name: str) -> None:
    """No function writes into its arguments or into the cotangent."""
    case = CASES[name]
    inputs = draw(name, case, salt=3)
    copies = [x.copy() for x in inputs]
    dy = np.asarray(np.random.default_rng(0).normal(size=case.call(F, *inputs).shape))
    kept = dy.copy()
    run(case, inputs, dy, np.float64)
    assert all((a == b).all() for a, b in zip(inputs, copies, strict=True))
    assert (dy == kept).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "name",
    [
        "linear",
        "conv2d",
        "relu",
        "gelu",
        "softmax",
        "layer_norm",
        "attention",
        "max_pool2d",
        "cross_entropy",
        "mse_loss",
    ]
    + ["binary_cross_entropy_with_logits"],
)
def test_16_bit(name: str, dtype: str, goldens: dict[str, np.ndarray]) -> None:
    """Results and gradients come in the inputs' dtype, within a few roundings of the float64 ones."""
    case = CASES[name]
    kind = getattr(pylayers, dtype)
    inputs = [goldens[f"{name}/x{i}"] for i in range(len(case.inputs))]
    rounded = [x.astype(kind).astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    dy = goldens[f"{name}/dy"].astype(kind)
    truth = run(case, rounded, dy.astype(np.float64), np.float64)
    got = run(case, inputs, dy, kind)
    unit = 2.0**-11 if dtype == "float16" else 2.0**-8
    for key, value in got.items():
        assert value.dtype == kind, key
        bound = 16 * unit * max(1.0, abs(truth[key]).max())
        error = abs(value.astype(np.float64) - truth[key]).max()
        assert error <= bound, (key, error, bound)

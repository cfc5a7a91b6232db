"""What the benchmark holds attention, convolutions and steps against: the honest passes, a planted fault does not."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from bench_package import module

from pylayers.dtypes import DTYPES

pytestmark = pytest.mark.slow

attention, conv, step = (module(f"families.{name}.family") for name in ("attention", "conv", "step"))
attention_case, conv_case = module("families.attention.cases").attention, module("families.conv.cases").conv
Layer = module("families.conv.cases").Layer
Absent = module("harness.contract").Absent


def host(case: Any) -> Any:
    return module("harness.places").HostPlace("reference", zlib.crc32(case.name.encode()))


def wide(x: dict[str, Any]) -> dict[str, Any]:
    return {key: each.astype(np.float64) for key, each in x.items()}


# -------------------------------------------------------------------------------------------------------- attention


def mask_by_hand(case: Any) -> np.ndarray:
    """Which query sees which key, pair by pair."""
    p = case.params
    owner = [i for i, length in enumerate(p["lengths"]) for _ in range(length)]

    def sees(i: int, j: int) -> bool:
        return (
            (not p["causal"] or j <= i)
            and (not p["window"] or j > i - p["window"])
            and (not owner or owner[i] == owner[j])
        )

    return np.array([[sees(i, j) for j in range(p["keys"])] for i in range(p["queries"])])


def attended(case: Any, x: dict[str, Any], mask: np.ndarray, low: Any = None) -> np.ndarray:
    """o in float64; with `low` the weighted sums are kept in that dtype after every 16 keys."""
    x, p = wide(x), case.params
    k, v = (np.repeat(x[key], p["heads"] // p["kv_heads"], axis=1) for key in "kv")
    score = np.where(mask, x["q"] @ k.swapaxes(2, 3) / np.sqrt(p["head"]), -np.inf)
    weight = np.exp(score - score.max(-1, keepdims=True))
    if low is None:
        return weight @ v / weight.sum(-1, keepdims=True)
    total = np.zeros(x["q"].shape, low)
    for begin in range(0, p["keys"], 16):
        part = slice(begin, begin + 16)
        total = (total + weight[..., part] @ v[:, :, part]).astype(low)
    return total / weight.sum(-1, keepdims=True)


def dense_gradients(case: Any, x: dict[str, Any], mask: np.ndarray) -> list[np.ndarray]:
    """dq, dk, dv in float64 by torch's tape."""
    torch = pytest.importorskip("torch")
    q, k, v = (torch.tensor(wide(x)[key], requires_grad=True) for key in "qkv")
    group = case.params["heads"] // case.params["kv_heads"]
    keys, values = (each.repeat_interleave(group, 1) for each in (k, v))
    score = q @ keys.transpose(2, 3) / np.sqrt(case.params["head"])
    weight = torch.softmax(score.masked_fill(~torch.tensor(mask), -torch.inf), -1)
    return [dx.numpy() for dx in torch.autograd.grad(weight @ values, (q, k, v), torch.tensor(wide(x)["do"]))]


FORMS: dict[str, dict[str, Any]] = {
    "full": {"causal": False},
    "causal": {"causal": True},
    "grouped": {"causal": True, "kv_heads": 2},
    "window": {"causal": True, "window": 9},
    "lengths": {"causal": False, "lengths": (1, 30, 100, 3, 66)},
    "causal lengths": {"causal": True, "lengths": (1, 30, 100, 3, 66)},
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("form", FORMS)
def test_attention(form: str, dtype: str) -> None:
    case = attention_case("planted", dtype, "forward", 1, 4, 200, 32, **FORMS[form])
    place = host(case)
    x, mask = attention.inputs(case, place), mask_by_hand(case)
    kind = x["q"].dtype
    right = attended(case, x, mask)
    assert attention.deviation(case, place, x, [right.astype(kind)]).ratio <= 1
    one_more = mask | np.roll(mask, 1, axis=1)
    one_less = mask & ~np.roll(np.eye(200, dtype=bool), -1, axis=1)
    for wrong in (one_more, one_less):
        if (wrong != mask).any() and wrong.any(axis=1).all():
            assert not attention.deviation(case, place, x, [attended(case, x, wrong).astype(kind)]).ratio <= 1
    rough = right.astype(DTYPES["bfloat16"] if dtype != "bfloat16" else np.float64)
    rough = rough.astype(kind) if dtype != "bfloat16" else (right * (1 + 2.0**-5)).astype(kind)
    assert not attention.deviation(case, place, x, [rough]).ratio <= 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("keys", [512, 4096])
def test_attention_with_sums_in_few_bits(dtype: str, keys: int) -> None:
    """float16 sums are caught in float32 and float16; bfloat16 itself has fewer bits, its own sums are caught."""
    case = attention_case("planted", dtype, "forward", 1, 1, 64, 64, False, keys=keys)
    place = host(case)
    x, mask = attention.inputs(case, place), mask_by_hand(case)
    low = DTYPES["bfloat16" if dtype == "bfloat16" else "float16"]
    result = attended(case, x, mask, low).astype(x["q"].dtype)
    assert not attention.deviation(case, place, x, [result]).ratio <= 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("form", ["full", "causal", "grouped", "window"])
def test_attention_gradients(form: str, dtype: str) -> None:
    case = attention_case("planted", dtype, "backward", 1, 4, 200, 32, **FORMS[form])
    place = host(case)
    x, mask = attention.inputs(case, place), mask_by_hand(case)
    if dtype == "float32":  # what the tape computes is that of exact o; in 16 bits o was rounded before
        right = [dx.astype(x["q"].dtype) for dx in dense_gradients(case, x, mask)]
        assert attention.deviation(case, place, x, right).ratio <= 1
    else:
        ours = attention.contenders(case, place)[0]
        if isinstance(ours, Absent):
            return
        right = list(ours.prepare(x)())
        assert attention.deviation(case, place, x, right).ratio <= 1
    for i in range(3):
        wrong = [dx.copy() for dx in right]
        wrong[i] = (wrong[i].astype(np.float64) * (1 + (1e-4 if dtype == "float32" else 0.1))).astype(x["q"].dtype)
        assert not attention.deviation(case, place, x, wrong).ratio <= 1, i


# ------------------------------------------------------------------------------------------------------ convolution

LAYERS = [
    Layer(6, 10, 3, 1, 12, 1), Layer(6, 10, 3, 2, 13, 1), Layer(3, 8, 7, 2, 20, 3), Layer(8, 8, 7, 1, 10, 3, 8),
    Layer(4, 6, 2, 2, 9, 0), Layer(16, 8, 1, 2, 9, 0), Layer(8, 12, 3, 1, 7, 0, 4),
]  # fmt: skip


def convolved(case: Any, x: dict[str, Any]) -> np.ndarray:
    """The result in float64 by torch."""
    torch = pytest.importorskip("torch")
    p = case.params
    x = {key: torch.tensor(each) for key, each in wide(conv.logical(case, x)).items()}
    image, weight = x["x"].requires_grad_(), x["weight"].requires_grad_()
    y = torch.nn.functional.conv2d(image, weight, None, p["stride"], p["padding"], 1, p["groups"])
    if p["direction"] == "forward":
        return y.detach().numpy()
    wanted = image if p["direction"] == "input gradient" else weight
    return torch.autograd.grad(y, wanted, x["dy"])[0].numpy()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("direction", conv.OPS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_conv(layer: Any, direction: str, layout: str, dtype: str) -> None:
    case = conv_case("planted", dtype, direction, layout, 2, layer)
    place = host(case)
    x = conv.inputs(case, place)
    kind, right = x["x"].dtype, convolved(case, x)
    assert conv.deviation(case, place, x, [right.astype(kind)]).ratio <= 1
    assert not conv.deviation(case, place, x, [np.roll(right, 1, axis=0).astype(kind)]).ratio <= 1
    assert not conv.deviation(case, place, x, [right.swapaxes(2, 3).astype(kind)]).ratio <= 1 or layer.kernel == 1
    rough = right * (1 + 2.0**-5) if dtype == "bfloat16" else right.astype(DTYPES["bfloat16"])
    assert not conv.deviation(case, place, x, [rough.astype(kind)]).ratio <= 1


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("direction", conv.OPS)
def test_conv_with_sums_in_float16(direction: str, dtype: str) -> None:
    """Parts of the sums added up in float16."""
    case = conv_case("planted", dtype, direction, "NCHW", 8, Layer(64, 64, 3, 1, 8, 1))
    place = host(case)
    x = conv.inputs(case, place)
    total: Any = np.float16(0)
    cut = {"forward": ("x", "weight"), "input gradient": ("dy", "weight"), "weight gradient": ("dy", "x")}[direction]
    axis = {"forward": (1, 1), "input gradient": (1, 0), "weight gradient": (0, 0)}[direction]
    for begin in range(0, x[cut[0]].shape[axis[0]], 2 if direction != "weight gradient" else 1):
        masked = dict(x)
        for key, along in zip(cut, axis, strict=True):
            keep = np.zeros(x[key].shape[along], bool)
            keep[begin : begin + (2 if direction != "weight gradient" else 1)] = True
            masked[key] = x[key] * np.expand_dims(keep, tuple(i for i in range(4) if i != along)).astype(x[key].dtype)
        total = (total + convolved(case, masked)).astype(np.float16)
    assert not conv.deviation(case, place, x, [total.astype(x["x"].dtype)]).ratio <= 1


# ------------------------------------------------------------------------------------------------------------ steps


@pytest.mark.parametrize("network", step.SIZES)
def test_networks_have_their_parameters_and_operations(network: str) -> None:
    """By torch's own count; its kernel for attention on a CPU counts nothing, so that part is added by hand."""
    torch = pytest.importorskip("torch")
    counter = pytest.importorskip("torch.utils.flop_counter")
    example, classes, flop, parameters = step.SIZES[network]
    net = module("families.step.networks").NETWORKS[network](torch, "NCHW").eval()
    assert sum(p.numel() for p in net.parameters()) == parameters
    tokens = len(example) == 1
    x = torch.zeros((1, *example), dtype=torch.long) if tokens else torch.zeros(1, *example)
    with counter.FlopCounterMode(display=False) as counted, torch.no_grad():
        y = net(x)
    assert y.shape == ((example[0] if tokens else 1), classes)
    attention_flop = {"GPT-2 small": 12 * 2 * 1024**2 * 768, "ViT-S": 12 * 4 * 197**2 * 384}.get(network, 0)
    assert abs(counted.get_total_flops() + attention_flop - flop) <= 0.005 * flop


def test_step_judges_every_result() -> None:
    """A thousandth of one gradient's size, a parameter that was not updated, a moment of another, another loss."""
    (case,) = (x for x in step.cases if x.params["network"] == "program 5" and x.params["batch"] == 1)
    place = host(case)
    x = step.inputs(case, place)
    given = {key: each.copy() for key, each in x.items()}
    right = [np.array(y) for y in step.contenders(case, place)[0].prepare(given)()]
    assert step.deviation(case, place, x, right).ratio <= 1
    for i in range(len(right) - 1):
        wrong = [y.copy() for y in right]
        wrong[i] *= 1.001
        assert not step.deviation(case, place, x, wrong).ratio <= 1, i
    training = module("families.step.training")
    for _, name, _, segment in training.places(case)[0]:
        wrong = [y.copy() for y in right]
        wrong[-1][segment] = x["state"][segment]
        assert not step.deviation(case, place, x, wrong).ratio <= 1, name


def test_what_our_layers_cannot_build_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = (x for x in step.cases if x.params["network"] == "program 5" and x.params["batch"] == 1)
    assert not isinstance(step.our_entries(case, host(case))[0], Absent)

    def build(*_: Any) -> None:
        raise AttributeError("pylayers.nn has no 'Conv2d' yet; there are others")

    monkeypatch.setattr(module("families.step.training"), "build", build)
    (absent,) = step.our_entries(case, host(case))
    assert isinstance(absent, Absent) and absent.ours and absent.reason == "pylayers.nn has no 'Conv2d' yet"

"""Training steps, forward, backward and update: ours through each of its faces beside torch, eager and compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import pylayers
import pylayers.nn  # asked for by attribute, as torch's is
from pylayers import backends, optim
from pylayers.backends.contract import AdamRates
from pylayers.context import backend

from ...harness import bits, peers, truth
from ...harness.contract import Absent, Array, Arrays, Call, Case, Deviation, Place
from ...harness.dtypes import SHORT
from . import training

name = "step"
changed: Sequence[str] = ("state",)

FLOOR = 64 * truth.U  # of a tensor's largest element, and of its root mean square
LONG_TO_COMPILE = 1e11  # operations of a step
FACTOR = 3  # times the error of torch's own step (or, without torch, the reference's) in the same precision
# By network: shape of one example, classes, operations of its forward, parameters.
SIZES: dict[str, tuple[tuple[int, ...], int, int, int]] = {
    "program 4": ((1, 28, 28), 10, 1_776_128, 693_962),
    "program 5": ((1, 28, 28), 10, 8_482_816, 421_642),
    "ResNet-50": ((3, 224, 224), 1000, 8_178_400_000, 25_557_032),
    "GPT-2 small": ((1024,), 50257, 272_300_000_000, 124_439_808),
    "ViT-S": ((3, 224, 224), 1000, 9_200_000_000, 22_050_664),
}


def step(network: str, dtype: str, batch: int, optimizer: str, layout: str, quick: bool = False) -> Case:
    """Three times the operations of the forward; of the bytes only those that no step can do without."""
    example, classes, flop, parameters = SIZES[network]
    count = 1 + len(training.KEPT[optimizer])
    moved = 4 * (2 * count * parameters + batch * int(np.prod(example)))
    params = {"network": network, "batch": batch, "optimizer": optimizer, "layout": layout}
    full = f"{SHORT[dtype]} {network} batch {batch} {optimizer} {layout}"
    return Case("step", full, network, dtype, 3 * batch * flop, moved, params, quick, by_wall=True)


cases: Sequence[Case] = (
    step("program 4", "float32", 128, "adam", "NHWC", quick=True),
    step("program 4", "float32", 128, "adam", "NCHW"),
    step("program 5", "float32", 64, "sgd", "NCHW", quick=True),
    step("program 5", "float32", 64, "sgd", "NHWC"),
    step("program 5", "float32", 1, "sgd", "NCHW", quick=True),
    step("ViT-S", "float32", 32, "adam", "NCHW"),
    step("ViT-S", "bfloat16", 128, "adam", "NCHW"),
    step("ResNet-50", "float32", 32, "momentum", "NCHW"),
    step("ResNet-50", "bfloat16", 128, "momentum", "NHWC"),
    step("GPT-2 small", "bfloat16", 8, "adam", "NCHW"),
)


def inputs(case: Case, place: Place) -> Arrays:
    """Images (or tokens) x, labels, and the state: parameters and moments, all in float32."""
    p = case.params
    example, classes, *_ = SIZES[p["network"]]
    if len(example) == 1:
        x = place.integers((p["batch"], *example), classes)
        labels = place.integers((p["batch"] * example[0],), classes)
    else:
        c, h, w = example
        x = place.normal((p["batch"], *((h, w, c) if p["layout"] == "NHWC" else example)), "float32")
        labels = place.integers((p["batch"],), classes)
    state = place.xp.empty(training.places(case)[1], "float32")
    return {"x": x, "labels": labels, "state": training.initial(case, lambda s: place.normal(s, "float32"), state)}


def contenders(case: Case, place: Place) -> list[peers.Entry]:
    """Our faces and torch's; results are the loss, every gradient and the state."""
    absent = peers.too_much(case, place)
    return absent or [*our_entries(case, place), *torch_entries(case, place)]


def arithmetic(case: Case) -> str:
    """What every contender is asked for."""
    return "float32" if case.dtype == "float32" else "bfloat16 by autocast, parameters and moments in float32"


def our_entries(case: Case, place: Place) -> list[peers.Entry]:
    """pylayers.nn with pylayers.optim; for program 4 also its Keras face and plain calls of the backend."""
    how = arithmetic(case)
    if case.dtype != "float32":
        return [Absent("pylayers", "has no autocast to bfloat16 yet", ours=True)]
    try:
        training.build(case, pylayers)
    except (AttributeError, NotImplementedError) as error:
        return [Absent("pylayers", str(error).partition(";")[0], ours=True)]

    def with_nn(x: Arrays) -> Call:
        run = training.step_of(pylayers, case, x["x"], x["labels"], x["state"])
        return lambda: (*run(), x["state"])

    entries = [peers.ours(place, how, with_nn, "step", dtype="float32", name="pylayers")]
    if case.params["network"] == "program 4" and case.params["layout"] == "NHWC":
        label = "pylayers, keras"
        if place.name == "cpu":
            entries.append(peers.ours(place, how, lambda x: keras_step(case, x), "step", dtype="float32", name=label))
        else:
            entries.append(Absent(label, "fit takes its data from host memory", ours=True))
        label = "pylayers, backend calls"
        entries.append(
            peers.ours(place, how, lambda x: plain_step(case, place, x), "step", dtype="float32", name=label)
        )
    return entries


def torch_entries(case: Case, place: Place) -> list[peers.Entry]:
    """torch's layers and optimizer in the layout of the case; on a GPU also under torch.compile."""
    label = "torch, channels last" if case.params["layout"] == "NHWC" else "torch, contiguous"

    def prepare(torch: Any, x: dict[str, Any]) -> Call:
        run = training.step_of(torch, case, x["x"], x["labels"], x["state"])
        return lambda: (*run(), x["state"])

    entries = [peers.with_torch(place, arithmetic(case), prepare, label)]
    if place.name != "cpu":
        entries.append(compiled_entry(case, place, f"{label}, torch.compile"))
    return entries


def compiled_entry(case: Case, place: Place, label: str) -> peers.Entry:
    """torch.compile of forward and backward; its program serves every buffer set of the case."""
    if case.dtype == "float32" and case.flop > LONG_TO_COMPILE:
        return Absent(label, "takes a minute to compile; it is measured in bfloat16")
    programs: list[training.Compiled] = []

    def prepare(torch: Any, x: dict[str, Any]) -> Call:
        if not programs:
            torch.compiler.reset()
            programs.append(training.Compiled(torch, case))
        run = programs[0].step_of(x["x"], x["labels"], x["state"])
        return lambda: (*run(), x["state"])

    return peers.with_torch(place, arithmetic(case), prepare, label)


def keras_step(case: Case, x: Arrays) -> Call:
    """Program 4 as it stands: layers, tape, loss, metric, optimizer; a step is one fit."""
    from pylayers.keras import layers, models, optimizers

    views = training.tensors(case, x["state"])

    class Resumed(optimizers.Adam):
        """Adam on moments that are given."""

        def create(self, parameters: Sequence[Any]) -> optim.Optimizer:
            found: optim.Optimizer = super().create(parameters)
            for parameter, key in zip(parameters, views["parameter"], strict=True):
                kept = {kind: views[kind][key] for kind in training.KEPT["adam"]}
                found.state[parameter] = training.counted(pylayers, "adam", x["state"]) | kept
            return found

    model = models.Sequential([
        layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)), layers.MaxPooling2D((2, 2)),
        layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    for weight, array in zip(model.weights, views["parameter"].values(), strict=True):
        weight.parameter.array = array
    model.compile(optimizer=Resumed(), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    def call() -> Sequence[Array]:
        history = model.fit(x["x"], x["labels"], batch_size=case.params["batch"], verbose=0, shuffle=False).history
        found: list[Any] = [weight.parameter.grad for weight in model.weights]
        gradients = [dx.array for dx in found]
        return np.array(history["loss"], np.float32), *gradients, x["state"]

    return call


def plain_step(case: Case, place: Place, x: Arrays) -> Call:
    """Program 4 as a sequence of calls of the backend, without layers, checks and tape."""
    run: Any = backends.load(place.backend)
    views, xp, batch = training.tensors(case, x["state"]), place.xp, case.params["batch"]
    parameters, *moments = ([*each.values()] for each in views.values())
    weight, bias, hidden, hidden_bias, out, out_bias = parameters
    steps = [training.counted(pylayers, "adam", x["state"])["steps"] for _ in parameters]
    rates = AdamRates(1e-3, eps=1e-7)
    image, dloss = x["x"].transpose(0, 3, 1, 2), xp.broadcast_to(xp.ones((), "float32"), (batch,))
    plain = (1, 1), ((0, 0), (0, 0)), (1, 1), 1  # stride, padding, dilation, groups
    pool = (2, 2), (2, 2), (0, 0), (1, 1)  # kernel, stride, padding, dilation

    def call() -> Sequence[Array]:
        y = run.conv_forward(image, weight, bias, *plain, "relu")
        pooled, indices = run.max_pool_forward(y, *pool, (13, 13))
        flat = pooled.transpose(0, 2, 3, 1).reshape(batch, -1)
        h = run.gemm(flat, hidden, hidden_bias, "relu", transpose_b=True)
        logits = run.gemm(h, out, out_bias, transpose_b=True)
        loss, normalizer, gradient = run.cross_entropy_forward(
            logits, x["labels"], None, -100, 0.0, "mean", "logits", True
        )
        dlogits = run.cross_entropy_backward(dloss, gradient, normalizer)
        dh = run.gemm(dlogits, out, None, "relu", saved=h)
        dpooled = run.gemm(dh, hidden).reshape(batch, 13, 13, 32).transpose(0, 3, 1, 2)
        dy = run.activation_backward(run.max_pool_backward(dpooled, indices, y.shape, *pool), y, "relu")
        gradients = [
            run.conv_weight_gradient(dy, image, weight.shape, *plain),
            run.column_sum(dy.reshape(batch, 32, -1)),
            run.gemm(dh, flat, transpose_a=True),
            run.column_sum(dh[:, :, None]),
            run.gemm(dlogits, h, transpose_a=True),
            run.column_sum(dlogits[:, :, None]),
        ]
        run.adam(parameters, gradients, *moments, steps, rates)
        return loss, *gradients, x["state"]

    return call


# ------------------------------------------------------------------------------------------------------------ truth


def deviation(case: Case, place: Place, inputs: Arrays, results: Sequence[Array]) -> Deviation:
    """The loss, every gradient, and every parameter and moment after the step."""
    network = training.shapes(case.params["network"])
    expected = [(1,), *network.values(), inputs["state"].shape]
    found = truth.results_of(place, results, *((shape, "float32") for shape in expected))
    if found is None:
        return truth.WRONG_FORM
    key = case.name, place.name, *(int(bits.of(x).sum(dtype="uint64")) for x in inputs.values())
    if key not in last:
        last.clear()
        last[key] = tuple(same_step(case, place, inputs, dtype) for dtype in ("float64", "float32"))
    want, own = last[key]
    return truth.deviation(place, compared(case, place, found, want, own))


last: dict[tuple[Any, ...], tuple[list[Array], ...]] = {}  # the truth of one set of inputs, which each contender meets


def same_step(case: Case, place: Place, inputs: Arrays, dtype: str) -> list[Array]:
    """What a step gives in this dtype: torch's at the place, or without torch the reference's."""
    torch = peers.torch_for(place.name.partition(":")[0])
    x = {key: each.copy() for key, each in inputs.items()}
    for key in ("x", "state"):
        if x[key].dtype.kind == "f":
            x[key] = x[key].astype(dtype)
    if isinstance(torch, str):
        host = {key: each if isinstance(each, np.ndarray) else each.get() for key, each in x.items()}
        with backend("reference"):
            results = training.step_of(pylayers, case, host["x"], host["labels"], host["state"])()
        return [place.xp.asarray(each) for each in (*results, host["state"])]
    tensors = {key: place.torch(each) for key, each in x.items()}
    results = training.step_of(torch, case, tensors["x"], tensors["labels"], tensors["state"])()
    return [*map(place.array, results), x["state"]]


def compared(
    case: Case, place: Place, found: list[Array], want: list[Array], own: list[Array]
) -> Iterator[tuple[Array, Array, Array]]:
    """Each tensor's elements, and its root mean square, with the bounds: by the worst of the same precision."""
    xp = place.xp
    segments = [segment for *_, segment in training.places(case)[0]]
    for triple in zip(found, want, own, strict=True):
        whole = triple[0].shape == want[-1].shape
        for segment in segments if whole else [...]:
            got, exact, same = (truth.wide(place, each[segment]).reshape(-1) for each in triple)
            for measure in (lambda x: abs(x).max(), lambda x: xp.sqrt((x * x).mean())):
                bound = FACTOR * measure(same - exact) + FLOOR * measure(exact)
                error = measure(got - exact).reshape(1)
                yield error, xp.zeros_like(error), bound.reshape(1)

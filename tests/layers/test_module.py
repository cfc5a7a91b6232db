"""Module: names, modes, casts, state_dict and its messages, hooks, containers, and the rules of assignment."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import pylayers
import pylayers.nn as nn
import pylayers.nn.functional as F
from pylayers.autograd import Tensor


class Tree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.again = self.first
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.register_parameter("absent", None)
        self.register_buffer("count", Tensor(np.array(4)))
        self.register_buffer("scratch", Tensor(np.zeros(2, np.float32)), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.body(self.first(x)) * self.scale


def test_names() -> None:
    tree = Tree()
    assert [n for n, _ in tree.named_parameters()] == [
        "scale", "first.weight", "first.bias", "body.0.weight", "body.0.bias"
    ]  # fmt: skip
    assert list(tree.state_dict()) == [
        "scale", "count", "first.weight", "first.bias", "again.weight", "again.bias", "body.0.weight", "body.0.bias"
    ]  # fmt: skip
    assert [n for n, _ in tree.named_buffers()] == ["count", "scratch"]
    assert [n for n, _ in tree.named_modules()] == ["", "first", "body", "body.0", "body.1"]
    assert [n for n, _ in tree.named_children()] == ["first", "body"]
    assert tree.absent is None
    assert "first" in dir(tree)
    del tree.again
    assert not hasattr(tree, "again")
    with pytest.raises(AttributeError, match="'Tree' object has no attribute 'nothing'"):
        tree.nothing  # noqa: B018


def test_modes_and_gradients() -> None:
    tree = Tree()
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    assert tree.eval() is tree
    assert not any(module.training for module in tree.modules())
    assert (tree(x).detach().numpy() == tree(x).detach().numpy()).all()
    tree.train()
    assert (tree(x).detach().numpy() != tree(x).detach().numpy()).any()
    tree(x).backward(Tensor(np.ones((4, 3), np.float32)))
    assert all(p.grad is not None for p in tree.parameters())
    tree.scale.grad.array[...] = np.nan
    tree.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in tree.parameters())
    tree.zero_grad()
    assert all(p.grad is None for p in tree.parameters())
    assert not any(p.requires_grad for p in tree.requires_grad_(False).parameters())


def test_to_casts_in_place() -> None:
    """The parameter objects stay, so an optimizer made before still holds them; integers keep their dtype."""
    tree = Tree()
    before = list(tree.parameters())
    tree(np.ones((1, 2), np.float32)).backward(Tensor(np.ones((1, 3), np.float32)))
    tree.double()
    assert all(a is b for a, b in zip(before, tree.parameters(), strict=True))
    assert {p.dtype.name for p in before} == {p.grad.dtype.name for p in before} == {"float64"}
    assert tree.count.dtype == np.int64
    assert tree.half().scale.dtype == np.float16
    assert tree.bfloat16().scale.dtype == pylayers.bfloat16
    assert tree.float().scale.dtype == np.float32
    assert tree.cpu().scale.device == "cpu"
    assert all(p.requires_grad and p.is_leaf for p in before)


def test_state_dict_is_the_memory_and_loading_copies() -> None:
    tree, other = Tree(), Tree()
    assert tree.state_dict()["scale"].array is tree.scale.array
    assert not tree.state_dict()["scale"].requires_grad
    array = other.scale.array
    state = {name: value.numpy() * 0 + 2 for name, value in tree.state_dict().items()}
    other.load_state_dict(state)
    assert other.scale.array is array
    assert all((value.numpy() == 2).all() for value in other.state_dict().values())
    state["scale"][...] = 5
    assert (other.scale.detach().numpy() == 2).all()


def test_load_state_dict_says_everything_at_once() -> None:
    """torch's layout of the message; nothing is loaded."""
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = copy.deepcopy(net.state_dict())
    state = {"0.weight": np.zeros((4, 2)), "0.bias": np.zeros(3), "1.weight": np.zeros((1, 3)), "x": np.zeros(1)}
    with pytest.raises(pylayers.CheckpointError) as error:
        net.load_state_dict(state)
    assert str(error.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "1.bias". \n'
        '\tUnexpected key(s) in state_dict: "x". \n'
        "\tsize mismatch for 0.weight: copying a param with shape (4, 2) from checkpoint, "
        "the shape in current model is (3, 2)."
    )
    assert all((net.state_dict()[k].numpy() == v.numpy()).all() for k, v in before.items())
    del state["0.weight"]
    keys = net.load_state_dict(state, strict=False)
    assert keys == (["0.weight", "1.bias"], ["x"])
    assert (net[1].weight.detach().numpy() == 0).all()


@pytest.mark.parametrize(
    "bad", [np.full(2, 1j), np.array([None, 1.0], object), np.array(["x", "y"]), np.array([b"1", b"2"]), "12", None]
)
@pytest.mark.parametrize("place", [0, 1])
def test_loading_is_all_or_nothing(bad: Any, place: int) -> None:
    """What holds no real numbers is refused, in the first parameter as in the last, before any is changed."""
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(1, 2))
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    state = {name: np.zeros_like(value) for name, value in before.items()} | {f"{place}.bias": bad}
    what = f"load_state_dict: argument '{place}.bias': expected (an array|real numbers), got "
    with pytest.raises(TypeError, match=what):
        net.load_state_dict(state)
    assert all((value.numpy() == before[name]).all() for name, value in net.state_dict().items())


def test_loading_into_memory_that_may_not_be_written_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(1, 2))
    net[1].bias.array.setflags(write=False)
    before = net[0].weight.detach().numpy().copy()
    with pytest.raises(TypeError, match=r"'1\.bias': expected memory that may be written, got a read-only array"):
        net.load_state_dict({name: np.zeros(value.shape) for name, value in net.state_dict().items()})
    assert (net[0].weight.detach().numpy() == before).all()


@pytest.mark.filterwarnings("error")
def test_loading_casts_as_torch_does() -> None:
    """From bool, integers, other byte orders and numbers that overflow, without a warning."""
    torch = pytest.importorskip("torch")
    values = [np.array([True, False]), np.array([200, 7], np.uint8), np.array([1e300, -1.5]), np.array([2**40, -1])]
    layer, other = nn.Linear(1, 2), torch.nn.Linear(1, 2)
    for value in values:
        layer.load_state_dict({"bias": value}, strict=False)
        other.load_state_dict({"bias": torch.tensor(value)}, strict=False)
        assert (layer.bias.detach().numpy() == other.bias.detach().numpy()).all()
    layer.load_state_dict({"bias": np.array([3, 4], ">f4")}, strict=False)
    assert layer.bias.tolist() == [3, 4]


def test_loading_is_seen_by_the_tape() -> None:
    """A parameter that was loaded into between forward and backward gives an error, not a wrong gradient."""
    layer = nn.Linear(2, 2)
    y = layer(Tensor(np.ones((1, 2), np.float32), requires_grad=True))
    layer.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward(Tensor(np.ones((1, 2), np.float32)))


def test_deepcopy_is_independent() -> None:
    tree = Tree()
    twin = copy.deepcopy(tree)
    assert twin.first is twin.again
    twin.scale.array[...] = 7
    assert (tree.scale.detach().numpy() == 1).all()
    assert list(twin.state_dict()) == list(tree.state_dict())


def test_hooks() -> None:
    layer = nn.Identity()
    seen: list[Any] = []
    before = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    after = layer.register_forward_hook(lambda module, args, y: seen.append((args[0], y)) or y * 10)
    assert layer(2) == 30
    assert seen == [(3, 3)]
    before.remove()
    after.remove()
    after.remove()
    assert layer(2) == 2


def test_containers() -> None:
    layers = nn.ModuleList(nn.Linear(i + 1, i + 2) for i in range(3))
    layers.append(nn.ReLU())
    assert len(layers) == 4
    assert [layer.in_features for layer in layers[:3]] == [1, 2, 3]
    assert layers[-1] is layers[3]
    layers[1] = nn.Linear(9, 9)
    assert list(layers.state_dict())[2:4] == ["1.weight", "1.bias"]
    net = nn.Sequential({"one": nn.Linear(2, 3), "two": nn.ReLU()})
    assert list(net.state_dict()) == ["one.weight", "one.bias"]
    assert net[0] is net.one
    assert len(net[:1]) == 1
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    assert list(table) == ["a", "b"]
    assert "b" in table
    del table["b"]
    assert list(table.keys()) == ["a"]
    layers.apply(lambda module: setattr(module, "visited", True))
    assert all(module.visited for module in layers.modules())


def test_assignment_rules() -> None:
    """Parameters and modules are found, replaced, set to None and never taken for plain attributes."""

    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Early()
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="Module: argument 'weight': expected a Parameter or None, got ndarray"):
        layer.weight = np.zeros((2, 2))
    layer.bias = None
    assert list(layer.state_dict()) == ["weight"]
    layer.bias = nn.Parameter(np.zeros(2, np.float32))
    assert list(layer.state_dict()) == ["weight", "bias"]
    layer.label = "plain"
    layer.label = nn.ReLU()
    assert [n for n, _ in layer.named_children()] == ["label"]
    with pytest.raises(KeyError, match="expected a name without '.'"):
        layer.register_buffer("a.b", Tensor(np.zeros(1)))
    with pytest.raises(KeyError, match="expected a name that is not taken, got 'forward'"):
        layer.register_buffer("forward", Tensor(np.zeros(1)))


def test_functional_is_one_module() -> None:
    from pylayers.nn.functional import relu

    assert F is nn.functional and F.relu is relu


def test_what_is_not_there_says_what_is() -> None:
    with pytest.raises(AttributeError, match=r"pylayers.nn has no 'LSTM' yet; there are AvgPool1d, .*Tanh"):
        nn.LSTM  # noqa: B018
    assert not hasattr(nn, "__wrapped__")

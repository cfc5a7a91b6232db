"""New tensors against torch and by hand, and the one stream that everything random draws from."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F

pytestmark = pytest.mark.filterwarnings("error")

CASES: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda lib: [lib.tensor(x) for x in (1, 1.5, True, [1, 2], [1, 2.5], [[True], [False]], [], (1, 2))],
    "tensor_arrays": lambda lib: [lib.tensor(x) for x in (np.float64([1, 2]), np.int32(3), [np.float64(1.5)])],
    "tensor_of_tensors": lambda lib: [
        lib.tensor([lib.tensor([1]), lib.tensor([2])]), lib.tensor([lib.tensor(1), lib.tensor(2.5)]),
        lib.tensor([[lib.tensor([[1]])], [lib.tensor(2)]]), lib.tensor((lib.tensor([1.5]), 2)),
        lib.tensor([[lib.tensor([True]), 2], [3, 4.5]]), lib.as_tensor([lib.tensor(1.5, dtype=lib.float64), 2]),
        lib.tensor([lib.tensor(1, dtype=lib.int32)]), lib.tensor([lib.tensor(1.5, dtype=lib.bfloat16), 2]).float(),
        lib.tensor([lib.tensor(0.1, dtype=lib.float64), 2], dtype=lib.float32), lib.tensor([lib.tensor(3.0), True]),
    ],
    "tensor_float64": lambda lib: [lib.tensor([0.1, 1e-300, 2**53 + 1], dtype=lib.float64),
                                   lib.as_tensor(0.1, dtype=lib.float64), lib.tensor([0.1], dtype=lib.float16)],
    "tensor_dtype": lambda lib: [lib.tensor([0.5, 2], dtype=x) for x in (lib.float64, lib.int64, lib.bool)],
    "as_tensor": lambda lib: [lib.as_tensor([1.0]), lib.as_tensor(np.arange(3), dtype=lib.float32)],
    "zeros": lambda lib: [lib.zeros(2, 3), lib.zeros((2, 3)), lib.zeros(()), lib.zeros([0, 2], dtype=lib.int32)],
    "ones": lambda lib: [lib.ones(2, 3), lib.ones(3, dtype=lib.bool), lib.ones((), dtype=lib.float16)],
    "full": lambda lib: [*(lib.full((2, 1), x) for x in (3, 0.5, True)), lib.full((2,), 3, dtype=lib.float64)],
    "like": lambda lib: [lib.zeros_like(lib.ones(2, 3), dtype=lib.int64), lib.ones_like(lib.arange(2))],
    "full_like": lambda lib: [lib.full_like(lib.ones(2), 7), lib.full_like(lib.arange(2), 2)],
    "arange": lambda lib: [lib.arange(*x) for x in ((5,), (1, 4), (5, 0, -2), (0, 1, 0.25), (2.5,), (0,), (-3, 2))],
    "arange_dtype": lambda lib: [lib.arange(3, dtype=lib.float32), lib.arange(1, 2, 0.5, dtype=lib.float64)],
    "linspace": lambda lib: [lib.linspace(*x) for x in ((0, 1, 5), (-2, 3, 7), (1, 5, 1), (0, 1, 0))],
    "eye": lambda lib: [lib.eye(3), lib.eye(2, 3), lib.eye(2, dtype=lib.int64)],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_against_torch(case: str) -> None:
    torch = pytest.importorskip("torch")
    for mine, reference in zip(CASES[case](pylayers), CASES[case](torch), strict=True):
        assert mine.shape == tuple(reference.shape)
        assert f"torch.{mine.dtype.name}" == str(reference.dtype)
        np.testing.assert_allclose(mine.numpy(), reference.numpy(), rtol=1e-15 if mine.dtype == "float64" else 1.2e-7)


def test_tensor_copies_and_as_tensor_shares() -> None:
    values = np.float32([1, 2])
    assert not np.shares_memory(pylayers.tensor(values).array, values)
    for shared in (pylayers.as_tensor(values), pylayers.from_numpy(values), pylayers.Tensor(values)):
        assert shared.array is values
    x = pylayers.ones(2, requires_grad=True)
    assert pylayers.as_tensor(x) is x and pylayers.as_tensor(x * 2, dtype="float64").requires_grad
    assert not pylayers.tensor(x).requires_grad


def test_foreign_arrays() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.tensor([1.0, 2.0])
    shared = pylayers.as_tensor(theirs)
    theirs[0] = 5
    assert shared.tolist() == [5, 2]
    half = pylayers.tensor(torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
    assert half.dtype == pylayers.bfloat16 and half.tolist() == [1.5, -2]

    class OnlyDlpack:
        def __dlpack__(self, **options: Any) -> Any:
            return values.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return values.__dlpack_device__()

    values = np.arange(3.0)
    assert np.shares_memory(pylayers.as_tensor(OnlyDlpack()).array, values)
    assert (pylayers.ones(3, dtype="float64") * OnlyDlpack()).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pylayers.tensor("abc"), TypeError,
         "tensor: argument 'data': expected numbers in nested lists, got str 'abc'"),
        (lambda: pylayers.tensor([1, None]), TypeError,
         "tensor: argument 'data': expected numbers in nested lists, got list"),
        (lambda: pylayers.tensor([[1], [1, 2]]), ValueError,
         "tensor: argument 'data': expected numbers in nested lists of equal"),
        (lambda: pylayers.tensor(1j), TypeError,
         "tensor: argument 'data': expected numbers in nested lists, got complex"),
        (lambda: pylayers.tensor(2**70), TypeError,
         "tensor: argument 'data': expected numbers in nested lists, got int"),
        (lambda: pylayers.tensor([1], dtype="int7"), TypeError,
         "tensor: argument 'dtype': expected one of bool, uint8"),
        (lambda: pylayers.tensor([1], device="tpu"), ValueError,
         "device: argument 'device': expected 'cpu', 'cuda' or"),
        (lambda: pylayers.tensor([pylayers.ones(2), pylayers.ones(2)]), TypeError,
         "tensor: argument 'data': expected tensors of one element in lists, got one of shape (2,); stack joins"),
        (lambda: pylayers.eye(-1), ValueError, "eye: argument 'n': expected an integer >= 0, got -1"),
        (lambda: pylayers.eye(2.0), TypeError, "eye: argument 'n': expected an integer, got 2.0 of type float"),
        (lambda: pylayers.eye(2, 1.0), TypeError, "eye: argument 'm': expected an integer, got 1.0 of type float"),
        (lambda: pylayers.arange(float("nan")), ValueError,
         "arange: argument 'end': expected a finite number, got nan"),
        (lambda: pylayers.arange(0, float("inf")), ValueError,
         "arange: argument 'end': expected a finite number, got inf"),
        (lambda: pylayers.arange("3"), TypeError, "arange: argument 'end': expected a finite number, got '3'"),
        (lambda: pylayers.arange(0, 3, None), TypeError, "arange: argument 'step': expected a finite number, got None"),
        (lambda: pylayers.full((2,), None), TypeError, "full: argument 'fill_value': expected a number, got None"),
        (lambda: pylayers.randint("3", (2,)), TypeError,
         "randint: argument 'high': expected an integer, got '3' of type str"),
        (lambda: pylayers.from_numpy([1]), TypeError,
         "from_numpy: argument 'ndarray': expected a NumPy array, got list"),
        (lambda: pylayers.zeros(-1), ValueError, "zeros: argument 'size': expected an integer >= 0, got -1"),
        (lambda: pylayers.ones(2.5), TypeError, "ones: argument 'size': expected an integer, got 2.5 of type float"),
        (lambda: pylayers.full((2,), "x"), TypeError,
         "full: argument 'fill_value': expected a number, got 'x'"),
        (lambda: pylayers.arange(3, step=0), ValueError,
         "arange: argument 'step': expected a number other than 0, got 0"),
        (lambda: pylayers.arange(3, 1), ValueError,
         "arange: argument 'end': expected a number that steps of 1 from 3 lead to, got 1"),
        (lambda: pylayers.linspace(0, 1, -1), ValueError,
         "linspace: argument 'steps': expected an integer >= 0, got -1"),
        (lambda: pylayers.randint(3, 3, (1,)), ValueError,
         "randint: argument 'high': expected a number above low 3, got 3"),
        (lambda: pylayers.randint(3), TypeError, "randint: argument 'size': expected the sizes of the axes, got None"),
        (lambda: pylayers.rand(2, dtype="int64"), TypeError,
         "rand: argument 'dtype': expected a floating dtype, got int64"),
        (lambda: pylayers.randperm(-1), ValueError, "randperm: argument 'n': expected an integer >= 0, got -1"),
        (lambda: pylayers.manual_seed(0.5), TypeError,
         "manual_seed: argument 'seed': expected an integer, got 0.5 of type float"),
    ],
)  # fmt: skip
def test_errors(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def everything_random() -> list[Any]:
    return [
        pylayers.rand(3).tolist(), pylayers.randn(2, 2).tolist(), pylayers.randint(0, 100, (4,)).tolist(),
        pylayers.randperm(9).tolist(), pylayers.ones(3).normal_().tolist(), pylayers.random.philox(5),
    ]  # fmt: skip


def test_manual_seed_repeats_everything() -> None:
    pylayers.manual_seed(3)
    first, second = everything_random(), everything_random()
    pylayers.manual_seed(3)
    assert everything_random() == first
    assert all(a != b for a, b in zip(first, second, strict=True))
    pylayers.manual_seed(4)
    assert all(a != b for a, b in zip(everything_random(), first, strict=True))


def test_the_state_of_the_generator_is_saved_and_loaded(tmp_path: Path) -> None:
    """Everything random goes on from a file as it would have gone on without it, half-drawn words included."""
    pylayers.manual_seed(7)
    everything_random()
    pylayers.random.default_generator.rng.integers(0, 100, dtype=np.uint32)  # leaves half of a 64-bit draw
    pylayers.save({"rng": pylayers.get_rng_state()}, tmp_path / "state")
    wanted = everything_random(), F.dropout(pylayers.ones(50), 0.5).tolist()
    pylayers.manual_seed(8)
    pylayers.set_rng_state(pylayers.load(tmp_path / "state")["rng"])
    assert (everything_random(), F.dropout(pylayers.ones(50), 0.5).tolist()) == wanted
    own = pylayers.Generator(5)
    before = own.get_state()
    first = pylayers.rand(3, generator=own).tolist()
    assert pylayers.rand(3, generator=pylayers.Generator().set_state(before.numpy())).tolist() == first
    assert pylayers.Generator().set_state(before).initial_seed() == 5


@pytest.mark.parametrize("bad", [np.zeros(56), np.zeros(55, np.uint8), np.zeros((1, 56), np.uint8), "state", None])
def test_what_is_no_state_of_a_generator_is_refused(bad: Any) -> None:
    before = pylayers.get_rng_state().tolist()
    with pytest.raises((TypeError, ValueError), match="set_state: argument 'new_state': expected (a uint8|shape)"):
        pylayers.set_rng_state(bad)
    assert pylayers.get_rng_state().tolist() == before


def test_seeds() -> None:
    assert pylayers.manual_seed(-1).initial_seed() == 2**64 - 1
    generators = [pylayers.Generator(7), pylayers.Generator().manual_seed(7)]
    assert pylayers.rand(3, generator=generators[0]).tolist() == pylayers.rand(3, generator=generators[1]).tolist()
    script = "import pylayers; print(pylayers.rand(4).tolist())"
    unseeded = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout for _ in range(2)
    }
    assert len(unseeded) == 2


def test_philox_positions_never_overlap() -> None:
    generator = pylayers.Generator(5)
    assert [generator.philox(words) for words in (3, 0, 10, 1)] == [(5, 0), (5, 3), (5, 3), (5, 13)]
    positions: list[int] = []

    def draw() -> None:
        positions.extend(generator.philox(2)[1] for _ in range(200))

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(positions) == list(range(14, 14 + 2 * 800, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_random_distributions(dtype: str) -> None:
    pylayers.manual_seed(0)
    n = 100_000
    uniform, normal = (draw(n, dtype=dtype) for draw in (pylayers.rand, pylayers.randn))
    assert uniform.dtype == normal.dtype == dtype
    u, z = uniform.double().numpy(), normal.double().numpy()
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 1 / 2) < 5 / np.sqrt(12 * n) + 2**-9 * (dtype == "bfloat16")
    assert abs(z.mean()) < 5 / np.sqrt(n) and abs(z.std() - 1) < 5 / np.sqrt(2 * n) + 2**-9 * (dtype == "bfloat16")


def test_random_integers() -> None:
    pylayers.manual_seed(0)
    drawn = pylayers.randint(-2, 3, (10_000,))
    assert drawn.dtype == pylayers.int64 and np.bincount(drawn.numpy() + 2).min() > 1800
    assert pylayers.randint(2, (3, 4), dtype="uint8").shape == (3, 4)
    for more in (
        pylayers.randint(9, size=(50,)), pylayers.randint(high=9, size=(50,)), pylayers.randint(9, (50,)),
        pylayers.randint(0, 9, (50,)), pylayers.randint(low=0, high=9, size=(50,)),
        pylayers.randint(9, high=19, size=(50,)) - 10,
    ):  # fmt: skip
        assert more.shape == (50,) and -1 <= more.min() < 4 < more.max() < 9
    assert sorted(pylayers.randperm(50).tolist()) == list(range(50))
    assert pylayers.randn_like(drawn.float()).shape == pylayers.rand_like(pylayers.ones(10_000)).shape == drawn.shape


def test_memory_order_is_kept() -> None:
    images = pylayers.ones(2, 4, 4, 3).permute(0, 3, 1, 2)
    assert pylayers.zeros_like(images).stride() == pylayers.empty_like(images).stride() == images.stride()


def test_import_is_quick_and_lazy() -> None:
    script = (
        "import sys, time; start = time.process_time(); import numpy; middle = time.process_time(); import pylayers;"
        "print(time.process_time() - middle);"
        "print([m for m in ('cupy', 'torch', 'scipy.special', 'sklearn', 'rich', 'typer', 'matplotlib',"
        " 'pylayers.keras', 'pylayers.nn', 'pylayers.optim') if m in sys.modules]);"
        "pylayers.nn; pylayers.optim; print(pylayers.__version__)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    outputs = [run.stdout.splitlines() for run in runs]
    assert outputs[0][1] == "[]"
    assert re.match(r"\d+\.\d+", outputs[0][2])
    assert min(float(lines[0]) for lines in outputs) < 0.3

"""set_float32_matmul_precision: torch's words, and what they permit the kernels."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pylayers
import pylayers.nn.functional as F
from pylayers import backends, context
from pylayers.autograd import Tensor


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    token = context.matmul_precision.set("highest")
    yield
    context.matmul_precision.reset(token)


def test_words_and_default_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    assert pylayers.get_float32_matmul_precision() == "highest" == torch.get_float32_matmul_precision()
    for word in ("high", "medium", "highest"):
        pylayers.set_float32_matmul_precision(word)
        assert pylayers.get_float32_matmul_precision() == word


def test_other_words_change_nothing() -> None:
    """torch only warns; here nothing goes on with another precision than was asked for."""
    pylayers.set_float32_matmul_precision("high")
    with pytest.raises(ValueError, match="expected one of 'highest', 'high', 'medium', got 'tf32'"):
        pylayers.set_float32_matmul_precision("tf32")
    with pytest.raises(TypeError, match="argument 'precision': expected a str, got int"):
        pylayers.set_float32_matmul_precision(3)  # type: ignore[arg-type]
    assert pylayers.get_float32_matmul_precision() == "high"


def test_the_setting_belongs_to_the_context() -> None:
    contextvars.copy_context().run(pylayers.set_float32_matmul_precision, "medium")
    assert pylayers.get_float32_matmul_precision() == "highest"
    pylayers.set_float32_matmul_precision("high")
    seen: list[str] = []
    inherits = contextvars.copy_context()
    thread = threading.Thread(target=lambda: seen.append(inherits.run(pylayers.get_float32_matmul_precision)))
    thread.start()
    thread.join()
    assert seen == ["high"]


@pytest.mark.parametrize("word, permitted", [("highest", "float32"), ("high", "tf32"), ("medium", "tf32")])
def test_every_product_is_told(monkeypatch: pytest.MonkeyPatch, word: str, permitted: str) -> None:
    """Forward and backward of all that is made of gemms."""
    told: list[Any] = []
    reference = backends.load("reference")
    gemm, linear = reference.gemm, reference.linear
    monkeypatch.setattr(reference, "gemm", lambda *a, **k: told.append(k.get("precision")) or gemm(*a, **k))
    monkeypatch.setattr(reference, "linear", lambda *a: told.append(a[4]) or linear(*a))
    pylayers.set_float32_matmul_precision(word)
    rng = np.random.default_rng(0)
    x, w, z = (Tensor(rng.standard_normal(s).astype("f4"), requires_grad=True) for s in ((3, 4), (5, 4), (2, 4, 4)))
    for y in (
        F.linear(F.relu(F.linear(x, w)), w.T), x @ w.T, pylayers.bmm(z, z), pylayers.einsum("ij,kj->ik", x, w),
        pylayers.addmm(x, x, z[0]), pylayers.baddbmm(z, z, z),
    ):  # fmt: skip
        y.backward(Tensor(rng.standard_normal(y.shape).astype("f4")))
    assert len(told) == 21 and set(told) == {permitted}


def test_headers_say_it() -> None:
    assert context.describe_precision() == "highest (float32 products in float32)"
    pylayers.set_float32_matmul_precision("high")
    assert context.describe_precision() == "high (float32 products may be TF32)"
    from pylayers import info

    assert dict(info.rows())["precision"].startswith("high (float32 products may be TF32); 16-bit")

"""The asan build of the emulator, in processes of its own: silent on right kernels, and it names what is wrong."""

from __future__ import annotations

import re

import emulated
import pytest
from selftest import asynchronous_expectations, expectations, in_a_process

pytestmark = pytest.mark.slow


def under_asan(kernel: str, first: float = 0, size: int = 768, blocks: int = 1) -> tuple[int, str]:
    code = f"x = emulated.guarded(np.zeros({size}, np.float32)); x[0] = {first}\n"
    code += f"m.run('{kernel}', x.ctypes.data, x.size, {blocks}); print('came to its end')"
    done = in_a_process(code, **emulated.asan_environment())
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def asan() -> None:
    emulated.build("asan", name="_selftest")


@pytest.mark.parametrize("kernel, size, blocks", [(k, len(x), blocks) for k, (x, blocks, _) in expectations().items()])
def test_asan_passes_right_kernels(asan: None, kernel: str, size: int, blocks: int) -> None:
    assert under_asan(kernel, 0, size, blocks) == (0, "came to its end\n")


@pytest.mark.parametrize("order", emulated.ORDERS)
def test_asan_passes_what_goes_on_by_itself(asan: None, order: str) -> None:
    code = "import selftest\nfor kernel, (x, blocks, y) in selftest.asynchronous_expectations().items():\n"
    code += f"    for copies in ('early', 'late', 'mixed'):\n        m.configure('{order}', 1, copies)\n"
    code += "        assert (selftest.bits(selftest.run(m, kernel, x, blocks)) == selftest.bits(y)).all(), kernel\n"
    code += "print('came to its end')"
    done = in_a_process(code, **emulated.asan_environment())
    assert (done.returncode, done.stdout) == (0, "came to its end\n"), done.stderr
    assert len(asynchronous_expectations()) > 10


@pytest.mark.parametrize(
    "kernel, first, message",
    [
        ("shared_index", 33, r"ERROR: AddressSanitizer: SEGV .*\n.*WRITE"),
        ("shared_index", -9, r"ERROR: AddressSanitizer: use-after-poison"),
        ("global_read_overrun", 0, r"ERROR: AddressSanitizer: SEGV .*\n.*READ"),
        ("stack_overflow", 0, r"ERROR: AddressSanitizer: stack-overflow"),
        ("misaligned", 0, r"runtime error: store to misaligned address"),
        ("early_exit", 0, r"EmulatorError: a thread leaves the kernel while 7 of its block"),
    ],
)
def test_asan_names_what_is_wrong(asan: None, kernel: str, first: float, message: str) -> None:
    status, text = under_asan(kernel, first)
    assert status != 0 and re.search(message, text) and "selftest.cu" in text, text

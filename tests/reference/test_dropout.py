"""Philox4x32-10 against the published vectors, and the masks made from it."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import reference
from reference_checks import stridings

from pylayers.backends.reference.dropout import philox, words

# Random123 1.14, tests/kat_vectors: philox4x32 10: counter, key, result.
ONES = 0xFFFFFFFF
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def philox_by_hand(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Ten rounds in Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second & ONES, first >> 32 ^ c[3] ^ k[1], first & ONES]
        k = [k[0] + 0x9E3779B9 & ONES, k[1] + 0xBB67AE85 & ONES]
    return tuple(c)


@pytest.mark.parametrize("counter, key, want", VECTORS)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], want: tuple[int, ...]) -> None:
    got = philox(tuple(np.array([c], np.uint64) for c in counter), key)
    assert tuple(int(w[0]) for w in got) == want == philox_by_hand(counter, key)


@pytest.mark.parametrize("first", [0, 5, 2**32 - 2, 2**64 - 1])
@pytest.mark.parametrize("seed", [0, 123, 2**63 + 12345, 2**64 - 1])
def test_words_split_counter_and_seed(first: int, seed: int) -> None:
    got = words(first, 4, seed)
    for i in range(4):
        counter = (first + i) % 2**64
        want = philox_by_hand((counter & ONES, counter >> 32, 0, 0), (seed & ONES, seed >> 32))
        assert tuple(map(int, got[i])) == want


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 4099])
def test_mask_by_its_definition(p: float, size: int) -> None:
    seed, offset = 987654321987, 2**32 - 3
    x = np.random.default_rng(0).standard_normal(size)
    keep = np.zeros(size, bool)
    for i in range(size):
        counter = offset + i // 4
        word = philox_by_hand((counter & ONES, counter >> 32, 0, 0), (seed & ONES, seed >> 32))[i % 4]
        keep[i] = word >= int(p * 2**32)
    want = np.where(keep, x / (1 - p) if p < 1 else 0, 0)
    np.testing.assert_array_equal(reference.dropout(x, p, seed, offset), want)


def test_elements_count_in_logical_order_and_parts_join() -> None:
    x = np.random.default_rng(1).standard_normal((40, 3, 30, 31))
    want = reference.dropout(np.ascontiguousarray(x), 0.3, 7, 11)
    for _, y in stridings(x):
        np.testing.assert_array_equal(reference.dropout(y, 0.3, 7, 11), want)
    again = reference.dropout(x.reshape(-1)[4000:], 0.3, 7, 11 + 1000)
    np.testing.assert_array_equal(again, want.reshape(-1)[4000:])


def test_rates_and_dtypes() -> None:
    x = np.ones(200_000, np.float32)
    for p in (0.1, 0.5, 0.9):
        y = reference.dropout(x, p, 3, 0)
        assert y.dtype == np.float32
        kept = np.count_nonzero(y) / x.size
        assert abs(kept - (1 - p)) <= 4 * np.sqrt(p * (1 - p) / x.size)
        assert not np.array_equal(y, reference.dropout(x, p, 4, 0))
        assert not np.array_equal(y, reference.dropout(x, p, 3, 1))
    half = reference.dropout(np.full(10, 3.0, np.float16), 0.1, 3, 0)
    assert half.dtype == np.float16
    assert set(half.tolist()) <= {0.0, float(np.float16(np.float32(3) / np.float32(0.9)))}

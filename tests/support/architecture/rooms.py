"""Rules over all rooms: one stem everywhere, names that say something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from architecture.cpp import code, sources
from architecture.python import modules
from architecture.rule import Rules, Tree

RULES = Rules()
EMPTY_WORDS = {
    "fast",
    "faster",
    "optimized",
    "optimised",
    "util",
    "utils",
    "helper",
    "helpers",
    "misc",
    "stuff",
    "v2",
    "v3",
}
PEERS_NAMES = {"pylayers/keras/utils.py"}  # public under this name in Keras
# Modules of the reference that are no family: arithmetic that several share.
SHARED = {"__init__", "blas", "optimizer", "parallel", "precision", "products", "rows", "windows"}
# A .cu without a kernel.
HOST_ONLY = {"choices", "gemm_call", "gemm_plan", "runtime", "runtime_tensor_map", "tensor_map", "variants"}
OPS = {"gemm": "linear", "column_sum": "linear"}  # what linear layers are made of


def words(name: str) -> set[str]:
    """gemmFast_v2 -> {gemm, fast, v2}."""
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_"))


@RULES.rule(
    {"pylayers/nn/utils.py": ""},
    {"kernels/gemm_v2.cuh": ""},
    {"pylayers/nn/linear.py": "def fast_linear(): ...\n"},
    {"pylayers/nn/linear.py": "class LinearHelper: ...\n"},
    {"csrc/gemm.cu": "void launch_optimized(int n) {}\n"},
)
def names_say_something(tree: Tree) -> Iterator[str]:
    for path in tree:
        for part in PurePosixPath(path).with_suffix("").parts:
            if words(part) & EMPTY_WORDS and path not in PEERS_NAMES:
                yield f"{path}: {part} says nothing"
    for path, module in modules(tree, "pylayers", "benchmarks", "evidence", "packaging", "tests"):
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and words(node.name) & EMPTY_WORDS:
                yield f"{path}:{node.lineno} {node.name} says nothing"
    for path, text in sources(tree, "kernels", "csrc"):
        for name in set(re.findall(r"\b[A-Za-z]\w*", code(text))):
            if words(name) & EMPTY_WORDS and not name.startswith("cuda"):
                yield f"{path}: {name} says nothing"


@RULES.rule({"csrc/softmax.cu": "// y\n"}, {"kernels/softmax.cuh": "// y\n"})
def launchers_and_kernels_come_in_pairs(tree: Tree) -> Iterator[str]:
    kernels = {found[1] for path in tree if (found := re.fullmatch(r"kernels/(\w+)\.cuh", path))}
    launchers = {found[1] for path in tree if (found := re.fullmatch(r"csrc/(\w+)\.cu", path))} - HOST_ONLY
    headers = {found[1] for path in tree if (found := re.fullmatch(r"csrc/(\w+)\.cuh", path))}
    for family in sorted(launchers):
        # A large family is split over several launchers: gemm_bf16_sm90 is a part of gemm_sm90.
        whole = any(set(kernel.split("_")) <= set(family.split("_")) for kernel in kernels)
        if not whole and not any(kernel.startswith(f"{family}_") for kernel in kernels):
            yield f"csrc/{family}.cu has no kernels/{family}*.cuh"
    for kernel in sorted(kernels):  # what several families share has a header in csrc/
        if not any(kernel == family or kernel.startswith(f"{family}_") for family in launchers | headers):
            yield f"kernels/{kernel}.cuh has no csrc/ file of its stem"


@RULES.rule({"pylayers/backends/reference/softmax.py": ""})
def each_family_has_its_rooms(tree: Tree) -> Iterator[str]:
    for path in tree:
        found = re.fullmatch(r"pylayers/backends/reference/(\w+)\.py", path)
        if not found or found[1] in SHARED:
            continue
        family = found[1]
        rooms = {
            "pylayers/ops": f"pylayers/operations/{OPS.get(family, family)}.py",
            "tests": f"tests/(\\w+/)*test_(\\w+_)?{family}(_\\w+)?.py",
        }
        for room, pattern in rooms.items():
            if not any(re.fullmatch(pattern, other) for other in tree):
                yield f"the family {family} of the reference is missing in {room}"

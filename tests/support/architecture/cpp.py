"""Rules of kernels/ and csrc/: who includes whom, where instructions, launches and CUDA calls may stand, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from architecture.rule import Rules, Tree

RULES = Rules()
PTX = "kernels/core/ptx.cuh"
VOCABULARY = (PTX, "kernels/core/ptx/")  # what begins so
DOORS = {"csrc/runtime.cu", "csrc/runtime_tensor_map.cu", "csrc/runtime.hpp", "csrc/launch.cuh"}
TABLE = "csrc/choices.hpp"  # its rows are written by a program
DEVICE_HEADERS = {
    "cstdint",
    "cuda.h",
    "cuda_bf16.h",
    "cuda_fp16.h",
    "cuda_fp8.h",
    "limits",
    "string_view",
    "type_traits",
    "utility",
}


def code(text: str) -> str:
    """C++ without comments and string literals, line by line."""
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    return "\n".join(re.sub(r'"(\\.|[^"\\])*"', '""', line.partition("//")[0]) for line in text.splitlines())


def sources(tree: Tree, *folders: str) -> Iterator[tuple[str, str]]:
    """The C++ files of these rooms: path, text."""
    for path, text in tree.items():
        if path.startswith(tuple(f"{folder}/" for folder in folders)) and not path.endswith(".py"):
            yield path, text


def includes(text: str) -> list[str]:
    """What stands in quotes after #include."""
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)


@RULES.rule({"kernels/gemm.cuh": '#include "csrc/array.hpp"\n'}, {"kernels/gemm.cuh": "#include <vector>\n"})
def kernels_include_only_kernels(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels"):
        for name in includes(text):
            if not name.startswith("kernels/") and (path, name) != (PTX, "emulator/ptx.hpp"):
                yield f"{path} includes {name}"
        for name in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.MULTILINE):
            if name not in DEVICE_HEADERS:
                yield f"{path} includes <{name}>, which is no device header"


@RULES.rule(
    {"csrc/gemm.cu": '#include "kernels/softmax.cuh"\n'},
    {"csrc/rows.cuh": '#include "kernels/softmax.cuh"\n#include "kernels/norm.cuh"\n'},
)
def launchers_include_their_kernels_only(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "csrc"):
        family = PurePosixPath(path).stem.removesuffix("_sm80").removesuffix("_sm90")
        foreign = [name for name in includes(text) if name.startswith("kernels/") and "/core/" not in name]
        if path.endswith(".cu"):
            foreign = [name for name in foreign if not re.fullmatch(rf"kernels/{family}(_\w+)?\.cuh", name)]
        elif len(foreign) == 1:  # a header shared by launchers stands on the one kernel they share
            continue
        for name in foreign:
            yield f"{path} includes {name}"


@RULES.rule(
    {"kernels/gemm.cuh": 'DEVICE void run() { asm volatile("trap;"); }\n'},
    {"csrc/gemm.cu": "#ifdef __CUDACC__\n"},
    {"kernels/norm.cuh": "float y = __shfl_xor_sync(~0u, x, 1);\n"},
    {"kernels/pool.cuh": "int i = threadIdx.x;\n"},
    {"kernels/pool.cuh": "__shared__ float tile[32];\n"},
    {"kernels/core/tile.cuh": 'asm volatile("trap;");\n'},
)
def instructions_stand_in_ptx_only(tree: Tree) -> Iterator[str]:
    allowed = {"__global__", "__launch_bounds__", "__grid_constant__", "__cluster_dims__"}
    for path, text in sources(tree, "kernels", "csrc"):
        if path.startswith(VOCABULARY):
            continue
        words = set(re.findall(r"\b(?:asm|threadIdx|blockIdx|blockDim|gridDim|__\w+)\b", code(text)))
        for word in sorted(words - {"__PRETTY_FUNCTION__"} - (allowed if path == "csrc/launch.cuh" else set())):
            yield f"{path} says {word}, which belongs into {PTX}"


@RULES.rule(
    {"csrc/gemm.cu": "__global__ void gemm(float* x) {}\n"},
    {"csrc/launch.cuh": ""},
    {"csrc/launch.cuh": "__global__ void entry() {}\n__global__ void other() {}\n"},
    {"csrc/launch.cuh": "__global__ void entry() {}\n", "csrc/gemm.cu": "entry<<<1, 32>>>();\n"},
)
def one_global_function(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc"):
        count = len(re.findall(r"\b__global__\b", code(text)))
        if count != (path == "csrc/launch.cuh"):
            yield f"{path} has {count} __global__ functions"
        if "<<<" in code(text):
            yield f"{path} launches with <<< >>>; launch<Kernel>() does that"


@RULES.rule({"csrc/gemm.cu": "check(cudaMalloc(&p, 4));\n"}, {"kernels/gemm.cuh": "cudaDeviceSynchronize();\n"})
def cuda_is_called_in_the_runtime_only(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc"):
        for call in re.findall(r"\b(?:cuda|cu)[A-Z]\w*(?=\s*\()", code(text)):
            if path not in DOORS:
                yield f"{path} calls {call}"


@RULES.rule({"csrc/gemm.cu": "// y\n#define TILE 128\n"})
def macros_stand_in_ptx_only(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc"):
        for name in re.findall(r"^\s*#\s*define\s+(\w+)", code(text), re.MULTILINE):
            if not path.startswith(VOCABULARY):
                yield f"{path} defines the macro {name}"


@RULES.rule({"kernels/gemm.cuh": "#pragma once\n// y = a b\n"}, {"csrc/gemm.cu": ""})
def first_line_says_what_the_file_does(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc"):
        if not text.startswith("// "):
            yield f"{path} does not begin with a comment"


@RULES.rule({"kernels/gemm.cuh": "// y\n" * 451}, {"csrc/gemm.cu": "// y\n" * 201}, {"csrc/gemm.cu": "// " + "y" * 118})
def cpp_files_keep_their_budget(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc", "tests", "emulator"):
        lines = [line for line in text.splitlines() if path != TABLE or not line.startswith('    {"')]
        budget = 200 if path.startswith("csrc/") else 450
        if len(lines) > budget:
            yield f"{path} has {len(lines)} lines, more than {budget}"
        for number, line in enumerate(lines, 1):
            if len(line) > 120:
                yield f"{path}:{number} has {len(line)} characters"


@RULES.rule({"csrc/gemm.cu": "void gemm() {\n" + "    ++i;\n" * 60 + "}\n"})
def cpp_functions_keep_their_budget(tree: Tree) -> Iterator[str]:
    for path, text in sources(tree, "kernels", "csrc", "tests", "emulator"):
        lines = code(text).splitlines()
        for start, line in enumerate(lines):
            head = re.match(r"( *)(?!namespace|extern|\}|(?:template.*)?(?:struct|class|enum|union)\b)\S.*\{$", line)
            if not head or "(" not in " ".join(lines[max(0, start - 3) : start + 1]):
                continue
            end = next((i for i in range(start, len(lines)) if lines[i].startswith(head[1] + "}")), start)
            if end - start + 1 > 60:
                yield f"{path}:{start + 1} begins a function of {end - start + 1} lines"

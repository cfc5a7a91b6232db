"""Rules of the Python files: imports point downward, sizes, first lines, nothing that runs foreign code."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from architecture.rule import Rules, Tree

RULES = Rules()
FUTURE = "from __future__ import annotations\n"

# Who stands on whom: a room imports from its own level and below. The package's own __init__ gathers the rooms.
LEVELS: list[set[str]] = [
    {"errors", "dtypes", "context", "atomic", "arrays", "backends", "info", "data", "names", "devices"},
    {"operations", "ops"},
    {"tape", "autograd", "creation", "random"},
    {"functional"},
    {"nn", "optim", "serialization"},
    {"keras", "torch", "train", "__init__"},
    {"cli", "__main__", "benchmarks"},
    {"evidence"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {"os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "torch.load"}


parsed = functools.cache(ast.parse)  # every rule reads the same files


def modules(tree: Tree, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """The Python files of these rooms: path, syntax tree."""
    for path, text in tree.items():
        if path.endswith(".py") and path.startswith(tuple(f"{folder}/" for folder in folders)):
            yield path, parsed(text, path)


def room_of(path: str) -> str:
    """pylayers/nn/linear.py -> nn, pylayers/errors.py -> errors, benchmarks/cases.py -> benchmarks."""
    parts = path.removesuffix(".py").split("/")
    return parts[1] if parts[0] == "pylayers" else parts[0]


def imported_rooms(path: str, module: ast.Module, rooms: set[str]) -> Iterator[tuple[int, str]]:
    """Line and room of each import of this package, those inside functions too."""
    for node in ast.walk(module):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            here = path.split("/")[: -node.level]
            base = ".".join([*here, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "pylayers" else [base]
        elif isinstance(node, ast.ImportFrom) and node.module == "pylayers":
            names = [f"pylayers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            parts = name.split(".")
            if parts[0] == "pylayers":
                room = parts[1] if len(parts) > 1 and parts[1] in rooms else "__init__"
                yield node.lineno, room


@RULES.rule(
    {
        "pylayers/operations/linear.py": "from pylayers.functional.linear import linear\n",
        "pylayers/functional/linear.py": "",
    },
    {"pylayers/operations/linear.py": "def f():\n    from pylayers import nn\n", "pylayers/nn/linear.py": ""},
    {"pylayers/operations/linear.py": "import pylayers\n"},
    {"pylayers/operations/linear.py": "from ..nn import linear\n", "pylayers/nn/linear.py": ""},
    {"pylayers/attic/linear.py": ""},
)
def imports_point_downward(tree: Tree) -> Iterator[str]:
    rooms = {room_of(path) for path in tree if path.startswith("pylayers/")} | {"benchmarks"}
    for path, module in modules(tree, "pylayers", "benchmarks", "evidence"):
        room = room_of(path)
        if room not in LEVEL:
            yield f"{path}: the room {room} has no level in tests/support/architecture/python.py"
            continue
        for line, other in imported_rooms(path, module, rooms - {"__init__"}):
            facade = other == "__init__" and room == "info"  # only to see where the package lies
            if LEVEL.get(other, 0) > LEVEL[room] and not facade:
                yield f"{path}:{line} imports {other}, which stands above {room}"


@RULES.rule({"pylayers/nn/__init__.py": "from pylayers.nn.conv import conv\n", "pylayers/nn/conv.py": ""})
def no_submodule_is_shadowed(tree: Tree) -> Iterator[str]:
    """``import pylayers.nn.conv as m`` gives the module, not a function of its name that the package has gathered."""
    for path, module in modules(tree, "pylayers", "benchmarks"):
        if not path.endswith("/__init__.py"):
            continue
        folder = path.removesuffix("/__init__.py")
        for node in module.body:
            if isinstance(node, ast.ImportFrom) and node.module != folder.replace("/", "."):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if f"{folder}/{name}.py" in tree or f"{folder}/{name}/__init__.py" in tree:
                        yield f"{path}:{node.lineno} hides the module {name} behind {node.module}.{alias.name}"


# Rooms of the benchmarks, and what of their neighbours each may import.
BENCHMARKS = {"harness": set(), "show": {"harness"}, "families": {"harness"}, "command.py": {"harness", "show"}}


@RULES.rule(
    {"benchmarks/harness/run.py": "from ..show import cells\n"},
    {"benchmarks/families/gemm/family.py": "from ..conv.cases import CASES\n"},
    {"benchmarks/show/cells.py": "from benchmarks.families import gemm\n"},
    {"benchmarks/attic/cells.py": ""},
)
def rooms_of_the_benchmarks_are_apart(tree: Tree) -> Iterator[str]:
    for path, module in modules(tree, "benchmarks"):
        _, room, *inner = path.split("/")
        if room not in {*BENCHMARKS, "__init__.py"}:
            yield f"{path}: the room {room} is unknown"
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and node.level:
                whole = [*path.split("/")[: -node.level], *(node.module or "").split("."), node.names[0].name]
            elif isinstance(node, ast.ImportFrom):
                whole = [*(node.module or "").split("."), node.names[0].name]
            else:
                continue
            top, other, *rest = [part for part in whole if part] + [""]
            own = other == room and (room != "families" or rest[:1] == inner[:1])
            if top == "benchmarks" and not own and other not in BENCHMARKS.get(room, set()):
                yield f"{path}:{node.lineno} imports {'.'.join(filter(None, whole))}"


@RULES.rule({"pylayers/nn/linear.py": FUTURE}, {"pylayers/nn/linear.py": '"""Linear."""\nclass Linear: ...\n'})
def modules_begin_with_what_they_do(tree: Tree) -> Iterator[str]:
    for path, module in modules(tree, "pylayers", "benchmarks", "evidence", "packaging", "tests"):
        if not ast.get_docstring(module):
            yield f"{path} has no docstring"
        code = [node for node in module.body if not isinstance(node, ast.Expr)]
        imports_only = all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) for node in code)
        if not imports_only and FUTURE.strip() not in ast.unparse(code[0]):
            yield f"{path} does not begin with {FUTURE.strip()}"


@RULES.rule({"pylayers/nn/linear.py": "x = 1\n" * 301}, {"tests/test_gemm.py": "x = 1\n" * 301})
def modules_keep_their_budget(tree: Tree) -> Iterator[str]:
    for path, _ in modules(tree, "pylayers", "benchmarks", "evidence", "packaging", "tests"):
        lines = tree[path].count("\n")
        if lines > 300:
            yield f"{path} has {lines} lines, more than 300"


@RULES.rule({"pylayers/nn/linear.py": "def f():\n" + "    x = 1\n" * 60})
def functions_keep_their_budget(tree: Tree) -> Iterator[str]:
    for path, module in modules(tree, "pylayers", "benchmarks", "evidence", "packaging", "tests"):
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    yield f"{path}:{node.lineno} {node.name} has {lines} lines, more than 60"


@RULES.rule(
    {"pylayers/nn/state.py": "import pickle\n"},
    {"pylayers/nn/state.py": "from joblib import load\n"},
    {"pylayers/nn/state.py": "eval('1')\n"},
    {"pylayers/nn/state.py": "import os\nos.system('ls')\n"},
    {"pylayers/nn/state.py": "numpy.load(path, allow_pickle=True)\n"},
    {"pylayers/nn/state.py": "subprocess.run('ls', shell=True)\n"},
)
def nothing_runs_foreign_code(tree: Tree) -> Iterator[str]:
    for path, module in modules(tree, "pylayers", "benchmarks", "evidence"):
        for node in ast.walk(module):
            for what in foreign_code(node):
                yield f"{path}:{node.lineno} {what}"  # type: ignore[attr-defined]


def foreign_code(node: ast.AST) -> Iterator[str]:
    """What in this node could run code that came from outside."""
    if isinstance(node, ast.Import):
        yield from (f"imports {a.name}" for a in node.names if a.name.partition(".")[0] in FORBIDDEN_MODULES)
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
        yield f"imports {node.module}"
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name) and function.id in FORBIDDEN_NAMES:
            yield f"calls {function.id}"
        if isinstance(function, ast.Attribute) and ast.unparse(function) in FORBIDDEN_ATTRIBUTES:
            yield f"calls {ast.unparse(function)}"
        for keyword in node.keywords:
            allowed = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            if keyword.arg in ("allow_pickle", "shell") and not allowed:
                yield f"passes {keyword.arg}={ast.unparse(keyword.value)}"


@RULES.rule({"pylayers/nn/linear.py": "# TODO\n"}, {"kernels/gemm.cuh": "// FIXME later\n"})
def no_notes_to_self(tree: Tree) -> Iterator[str]:
    for path, text in tree.items():
        if path.startswith("tests/support/architecture/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b(?!.*#\d)", line):
                yield f"{path}:{number} {line.strip()}"

"""The table op x backend of the README, from the code and the results: `python -m evidence.report --write`."""

from __future__ import annotations

from collections.abc import Mapping

from pylayers.backends.contract import OPS

from .machine_code import ROOT, Kernel
from .summary import Gpu, compared, seen

BEGIN, END = "<!-- op table: python -m evidence.report --write -->", "<!-- end of op table -->"
COLUMNS = ("op", "reference", "emulated", "cuda", "seen on a GPU", "speed")


def launchers(op: str) -> tuple[str, ...]:
    """The stems of the files of csrc whose kernels the op launches: its family's, and that one's variants."""
    family = OPS[op].family
    stems = sorted(path.stem for path in (ROOT / "csrc").glob("*.cu"))
    return tuple(stem for stem in stems if stem == family or stem.startswith(f"{family}_"))


def belongs(op: str, family: str, params: Mapping[str, object]) -> bool:
    """Whether a case of a family times this op."""
    words = [str(params.get(key, "")) for key in ("op", "direction", "rule")]
    if family == "gemm":
        return op == "gemm"
    if family == "calls":
        return op == "linear"
    if family == "conv":
        return op == "conv_" + words[1].replace(" ", "_")
    if family == "attention":
        return op == f"attention_{'backward' if words[1] == 'backward' else 'forward'}"
    if family == "optim":
        return op == {"adamw": "adam"}.get(words[2], words[2])
    if family != "rows":
        return False
    activation = words[0].partition("_")[0] in ("relu", "gelu", "silu")
    own = words[0].replace(words[0].partition("_")[0], "activation", 1) if activation else words[0]
    return op in (own, f"{own.removeprefix('log_')}_forward")


def speed(op: str, found: list[Gpu]) -> str:
    """Against the best peer of each case that times this op."""
    words = []
    for gpu in found:
        lines = [ls for (family, _), (ls, _) in gpu.cases().items() if belongs(op, family, ls[0].row.params)]
        if lines:
            words.append(f"{gpu.name}: {compared(lines)}")
    return "; ".join(words) or "not measured"


def row(op: str, found: list[Gpu], kernels: Mapping[str, Kernel]) -> tuple[str, ...]:
    """The cells of one op: for kernels their dtypes. Emulated and cuda are one source compiled twice."""
    kernel, cells = "no", ("", "")
    if OPS[op].kernels:
        kernel = ", ".join(dict.fromkeys(name.partition("_")[0] for name in OPS[op].kernels))
        cells = seen(launchers(op), found, kernels), speed(op, found)
    return f"`{op}`", "yes", kernel, kernel, *cells


def table(found: list[Gpu], kernels: Mapping[str, Kernel]) -> str:
    """The table between its two marks."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row(op, found, kernels) for op in OPS)]
    return "\n".join([BEGIN, *(f"| {' | '.join(cells)} |" for cells in lines), END])


def replaced(text: str, found: list[Gpu], kernels: Mapping[str, Kernel]) -> str:
    """`text` with its table brought up to date; ValueError when it has no place for one."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"optable: expected a text with {BEGIN!r} and {END!r}")
    return before + table(found, kernels) + after

"""A module's state: its parameters and buffers by dotted name, out and in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pylayers import arrays, dtypes
from pylayers.autograd import Tensor, increment_version
from pylayers.errors import CheckpointError, expected
from pylayers.operations.array import as_operand, quiet, to_device

if TYPE_CHECKING:
    from pylayers.nn.module import Module


class IncompatibleKeys(NamedTuple):
    """Names that the state lacked, and names that the module has no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def named_state(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers with dotted names, in torch's order; a shared one under each of its names."""
    tables = vars(module)
    for table in ("_parameters", "_buffers"):
        for name, value in tables[table].items():
            if value is not None and name not in tables["_transient"]:
                yield prefix + name, value
    for name, child in tables["_modules"].items():
        if child is not None:
            yield from named_state(child, f"{prefix}{name}.")


def state_dict(module: Module, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
    """As `Module.state_dict`."""
    return {name: value if keep_vars else value.detach() for name, value in named_state(module, prefix)}


def load_state_dict(module: Module, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
    """As `Module.load_state_dict`; nothing is changed unless everything fits."""
    if not isinstance(state, Mapping):
        raise expected("load_state_dict", "state_dict", "a mapping of names to arrays", type(state).__name__,
                       error=TypeError)  # fmt: skip
    own = dict(named_state(module))
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    found = {name: _values(name, state[name]) for name in own if name in state}
    problems = [
        f"size mismatch for {name}: copying a param with shape {tuple(value.shape)} from checkpoint, "
        f"the shape in current model is {own[name].shape}."
        for name, value in found.items()
        if tuple(value.shape) != own[name].shape
    ]
    if strict:
        for names, kind in ((unexpected, "Unexpected"), (missing, "Missing")):
            if names:
                problems.insert(0, f"{kind} key(s) in state_dict: " + ", ".join(f'"{name}"' for name in names) + ". ")
    if problems:
        raise CheckpointError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(problems)
        )
    # What could fail, moving and casting, is done for all before the first is changed.
    ready = [(own[name], _fitted(own[name], name, value)) for name, value in found.items()]
    for tensor, value in ready:
        tensor.array[...] = value
        increment_version(tensor)
    return IncompatibleKeys(missing, unexpected)


@quiet
def _fitted(tensor: Tensor, name: str, value: Any) -> Any:
    """The value on the tensor's device and in its dtype; TypeError where the tensor may not be written to."""
    if not getattr(getattr(tensor.array, "flags", None), "writeable", True):
        raise expected("load_state_dict", name, "memory that may be written", "a read-only array", error=TypeError)
    return to_device(value, tensor.device).astype(tensor.dtype, copy=False)


def _values(name: str, value: Any) -> Any:
    """The plain array of a Tensor, a NumPy or CuPy array, or what another library exports."""
    if isinstance(value, Tensor):
        return value.array
    if hasattr(value, "detach"):  # a torch tensor, perhaps a parameter: loading copies it, no gradient is lost
        value = value.detach()
    value = as_operand("load_state_dict", value)
    if not arrays.is_array(value):
        raise expected("load_state_dict", name, "an array", type(value).__name__, error=TypeError)
    if not dtypes.is_real(value.dtype):
        raise expected("load_state_dict", name, "real numbers", f"dtype {value.dtype}", error=TypeError)
    return value

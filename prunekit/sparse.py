"""A pruned model in one safetensors file whose size shrinks with sparsity.

Of every tensor the smallest of three forms is kept: the tensor itself, or its values that are not zero and where they
are. That is a bit for each weight, or a byte for each value: how many zeros come before it, 255 of them and no value
for the byte 255. At 90 %, float32 takes an eighth.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from prunekit.errors import InputError
from prunekit.files import write_whole
from prunekit.masks import pack, unpack
from prunekit.weights import load_into, state_of

_FORMAT, _VERSION = "prunekit sparse", "1"
_SPARSE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of weights; tensors of others are kept as they are."""
_DENSE, _VALUES, _BITS, _GAPS = "dense", "values", "bits", "gaps"
_LONG = 255
"""The byte that stands for so many zeros and no value."""


def save_sparse(model: nn.Module, path: str | Path) -> None:
    """Write the model's state dict to ``path``, at once or not at all: parameters and buffers by name.

    :func:`load_sparse` returns the same tensors: equal element for element, of the same type, NaN and infinities
    included; only that a negative zero among zeros left out comes back as zero. Tied weights are kept once. What
    DataParallel, DistributedDataParallel or torch.compile wraps is kept under the names it has without them; a model
    with masks of torch.nn.utils.prune as its effective weights.
    Raises InputError where the state dict holds something that no safetensors file can, PrunekitError where the file
    cannot be written.

    >>> prunekit.save_sparse(model, "pruned.safetensors")
    >>> prunekit.load_sparse("pruned.safetensors", model)
    """
    stored: dict[str, Tensor] = {}
    entries: dict[str, Any] = {}
    first: dict[Any, str] = {}
    for name, tensor in state_of(model).items():
        same = first.setdefault(_identity(tensor), name) if tensor.numel() else name
        if same != name:
            entries[name] = {"same as": same}
            continue
        forms = _packed(tensor)
        stored |= {f"{form}/{name}": _plain(each) for form, each in forms.items()}
        entries[name] = {"form": [*forms], "shape": list(tensor.shape)}
    text = json.dumps(entries, ensure_ascii=False)
    header = {"format": _FORMAT, "version": _VERSION, "tensors": text, "sha256": _checksum(stored, text)}
    try:
        content = save(stored, header)
    except (KeyError, ValueError, SafetensorError) as error:
        raise InputError(f"the model's state cannot be kept as safetensors: {error}") from error
    write_whole(Path(path), content)


def load_sparse(path: str | Path, model: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the state dict that :func:`save_sparse` wrote, in dense tensors on the CPU; load it into ``model``.

    A safetensors file of other origin is returned as it is. The model must have the same names and shapes, whether
    wrapped or not. Raises InputError, before anything is loaded, where the file is missing, damaged or of a later
    version, or does not fit the model.
    """
    path = Path(path)
    tensors, header = _read(path)
    state = _unpacked(path, tensors, header) if header.get("format") == _FORMAT else tensors
    if model is not None:
        load_into(model, state, path)
    return state


# ------------------------------------------------------------------------------------------------------------- tensors


def _packed(tensor: Tensor) -> dict[str, Tensor]:
    """Return the smallest form of a tensor, by the names of its pieces."""
    if tensor.dtype not in _SPARSE:
        return {_DENSE: tensor}
    flat = tensor.reshape(-1)
    there = flat != 0
    values = flat[there]
    forms = [{_DENSE: tensor}, {_VALUES: values, _BITS: pack(there)}]
    if 8 * len(values) < len(flat):  # with more values, a byte for each is larger than a bit for each weight
        forms.append({_VALUES: values, _GAPS: _gaps(there)})
    return min(forms, key=lambda form: sum(each.numel() * each.element_size() for each in form.values()))


def _gaps(there: Tensor) -> Tensor:
    """Return the zeros before every element that is True, uint8, of a bool [n]."""
    positions = there.nonzero()[:, 0]
    gaps = positions.diff(prepend=positions.new_tensor([-1])) - 1
    result = torch.full((int((gaps // _LONG + 1).sum()),), _LONG, dtype=torch.uint8, device=there.device)
    result[(gaps // _LONG + 1).cumsum(0) - 1] = (gaps % _LONG).to(torch.uint8)
    return result


def _from_gaps(gaps: Tensor, count: int) -> Tensor:
    """Undo :func:`_gaps`: bool [count]."""
    ends = gaps != _LONG
    positions = (gaps.to(torch.int64) + ends).cumsum(0) - 1
    there = torch.zeros(count, dtype=torch.bool)
    there[positions[ends]] = True
    return there


def _dense(pieces: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
    """Undo :func:`_packed`."""
    if _DENSE in pieces:
        return pieces[_DENSE]
    count = math.prod(shape)
    there = unpack(pieces[_BITS], (count,)) if _BITS in pieces else _from_gaps(pieces[_GAPS], count)
    flat = pieces[_VALUES].new_zeros(count)
    flat[there] = pieces[_VALUES]
    return flat.reshape(tuple(shape))


def _unpacked(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, Tensor]:
    if header.get("version") != _VERSION:
        raise InputError(
            f"{path}: is of version {header.get('version')} of prunekit's sparse files: this prunekit reads {_VERSION}"
        )
    text = header.get("tensors", "")
    if header.get("sha256") != _checksum(tensors, text):
        raise InputError(f"{path}: is cut short or altered")
    state: dict[str, Tensor] = {}
    for name, entry in json.loads(text).items():
        if "same as" in entry:
            state[name] = state[entry["same as"]]
        else:
            state[name] = _dense({form: tensors[f"{form}/{name}"] for form in entry["form"]}, entry["shape"])
    return state


def _identity(tensor: Tensor) -> Any:
    """Return what only tensors share that are one and the same memory, read the same way."""
    return tensor.data_ptr(), tensor.device, tensor.dtype, tensor.shape, tensor.stride()


def _plain(tensor: Tensor) -> Tensor:
    """Return a copy of its own: safetensors takes no views and no tensors that share memory."""
    return tensor.cpu().contiguous().clone()


# --------------------------------------------------------------------------------------------------------------- files


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file and its header's metadata."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise InputError(f"{path}: is no safetensors file, or is cut short or altered: {error}") from error
    length = int.from_bytes(content[:8], "little")
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return the SHA-256 of the tensors, by name, and of what is said of them."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

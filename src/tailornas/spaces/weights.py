"""Weights from files that others wrote."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tailornas.errors import CheckpointError

__all__ = ["is_weights", "read_weights"]

BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")
"""First bytes of what ``torch.save`` writes: a zip archive, and before PyTorch 1.6 a pickle."""


def is_weights(path: Path) -> bool:
    """Whether a file looks like weights: safetensors by its suffix, or by its first bytes what ``torch.save`` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(4).startswith(BEGINNINGS)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU. Nothing in the file is executed.

    Raises:
        CheckpointError: it cannot be read, or it holds something else than tensors.
    """
    # Read first, because torch reports some damage as an OSError, too.
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error.strerror or error}") from error
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(content)
        value: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # readers raise RuntimeErrors, UnpicklingErrors, EOFErrors and more for damage
        raise CheckpointError(
            f"cannot read the weights {path}: it is damaged, cut short or no file of plain tensors "
            f"({type(error).__name__}); download it again"
        ) from error
    if isinstance(value, Mapping):
        value = value.get("state_dict", value)
    if not isinstance(value, Mapping) or not value:
        raise CheckpointError(f"{path} holds {_kind(value)}: expected tensors by name, or these as 'state_dict'")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: the entry {name!r} is {_kind(tensor)}: expected tensors by name")
    return dict(value)


def _kind(value: object) -> str:
    return f"an empty {type(value).__name__}" if value == {} else f"a {type(value).__name__}"

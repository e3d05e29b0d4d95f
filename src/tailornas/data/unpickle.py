"""Reading the pickles that CIFAR is distributed in, without the dangers of a pickle.

A plain unpickler calls whatever a file names. This one knows stand-ins for the three numpy names that occur
in CIFAR's files and refuses all others, so nothing but dictionaries, lists, texts, numbers and byte arrays
comes out.
"""

import pickle
from io import BytesIO
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from tailornas.errors import DataError

__all__ = ["unpickle"]


@final
class _Dtype:
    """Stand-in for ``numpy.dtype``: keeps the element type's name."""

    def __init__(self, name: str, *flags: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which single bytes do not have."""


@final
class _Array:
    """Stand-in for ``numpy.ndarray``: keeps what its pickled state says."""

    shape: tuple[int, ...]
    dtype: _Dtype
    content: bytes

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes | str]) -> None:
        _, self.shape, self.dtype, by_column, content = state
        if by_column:
            raise ValueError("an array is stored by columns")
        # Python 2 wrote bytes as text, which arrives here decoded as Latin-1.
        self.content = content.encode("latin-1") if isinstance(content, str) else content

    def pixels(self) -> NDArray[np.uint8]:
        if self.dtype.name != "u1":
            raise ValueError(f"an array has elements of type {self.dtype.name}, expected u1")
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)


def _reconstruct(kind: type, shape: object, element: object) -> _Array:
    return _Array()


_KNOWN = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


@final
class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _KNOWN[module_name, global_name]
        except KeyError:
            raise DataError(f"it asks for {module_name}.{global_name}, which CIFAR's files do not need") from None


def unpickle(content: bytes) -> dict[str, Any]:
    """Reads a pickled dictionary of CIFAR's; uint8 arrays in it become numpy arrays.

    Args:
        content: the whole file, as Python 2 or 3 wrote it.

    Raises:
        DataError: the pickle names anything but numpy's byte arrays, or is damaged, or is not a dictionary.
    """
    try:
        values = _Unpickler(BytesIO(content), encoding="latin-1").load()
        return {str(key): value.pixels() if isinstance(value, _Array) else value for key, value in values.items()}
    except DataError:
        raise
    except Exception as problem:  # a damaged pickle can make the unpickler raise anything
        raise DataError(f"it is not a pickled dictionary of CIFAR's: {' '.join(str(problem).split())}") from problem

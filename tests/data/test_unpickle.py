import os
import pickle
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.unpickle import unpickle
from tailornas.errors import DataError


def python2_text(content: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(content)) + content


def python2_batch(pixels: bytes, width: int, labels: list[int]) -> bytes:
    """The opcodes that Python 2 and its numpy wrote CIFAR's batches with: byte strings, numpy.core, protocol 2."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + python2_text(b"b") + b"tR"
        b"(K\x01" + b"K" + bytes([len(labels)]) + b"M" + struct.pack("<H", width) + b"\x86"
        b"cnumpy\ndtype\n(" + python2_text(b"u1") + b"K\x00K\x01tR(K\x03" + python2_text(b"|") + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89" + python2_text(pixels) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + python2_text(b"data") + array + python2_text(b"labels") + numbers + b"u."


def test_a_python2_batch_is_read() -> None:
    values = unpickle(python2_batch(bytes(range(200, 212)), 6, [3, 9]))
    assert values["labels"] == [3, 9]
    assert values["data"].dtype == np.uint8
    assert values["data"].tolist() == [[200, 201, 202, 203, 204, 205], [206, 207, 208, 209, 210, 211]]


def test_the_opcodes_above_are_what_a_plain_unpickler_reads() -> None:
    # Otherwise the test before would only show that two mistakes agree.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy may mind the old name
        values = pickle.loads(python2_batch(bytes(range(200, 212)), 6, [3, 9]), encoding="latin-1")
    assert values["data"].tolist() == unpickle(python2_batch(bytes(range(200, 212)), 6, [3, 9]))["data"].tolist()


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_python3_dictionary_is_read(protocol: int) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 6)
    content = pickle.dumps({"label_names": ["cat", "dog"], "batch": 1}, protocol)
    assert unpickle(content) == {"label_names": ["cat", "dog"], "batch": 1}
    if protocol > 2:
        assert np.array_equal(unpickle(pickle.dumps({"data": pixels}, protocol))["data"], pixels)


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo no",)


class Evaluated:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1",)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Command(), "posix.system"),
        (Evaluated(), "builtins.eval"),
        (np.float64(1), "numpy._core.multiarray.scalar"),
        (pickle.Unpickler, "_pickle.Unpickler"),
    ],
)
def test_every_other_name_is_refused(value: object, name: str) -> None:
    with pytest.raises(DataError, match=rf"asks for {name}, which CIFAR's files do not need"):
        unpickle(pickle.dumps({"data": value}, 4))


def test_numpy_names_cannot_reach_further() -> None:
    # A dotted name would walk from an allowed object to its attributes.
    content = b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93."
    with pytest.raises(DataError, match=r"asks for numpy\.ndarray\.__init__"):
        unpickle(content)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"data": np.zeros(3, np.int64)}, "elements of type i8, expected u1"),
        ({"data": np.asfortranarray(np.zeros((2, 3), np.uint8))}, "stored by columns"),
        ([1, 2], "not a pickled dictionary"),
    ],
)
def test_other_contents_are_refused(value: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        unpickle(pickle.dumps(value, 4))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damage_is_a_data_error_or_harmless(data: st.DataObject) -> None:
    content = bytearray(python2_batch(bytes(12), 6, [3, 9]))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:cut])):
        try:
            assert isinstance(unpickle(damaged), dict)
        except DataError as problem:
            assert "\n" not in str(problem)

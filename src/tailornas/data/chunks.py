"""Work on many images by several threads, in order, that an interruption can end."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_chunks"]

_ResultT = TypeVar("_ResultT")

_CHUNK = 64  # images a thread works on before it takes new ones


def in_chunks(work: Callable[[range], _ResultT], length: int, progress: Callable[[int], None]) -> Iterator[_ResultT]:
    """Yields what ``work`` returns for the rows from 0 to ``length``, chunk after chunk.

    As many threads as torch uses work at a time. Where a chunk or ``progress`` raises, an interruption included, the
    chunks that no thread has begun are given up.

    Args:
        work: called with the rows of a chunk, from several threads.
        length: number of rows.
        progress: told how many rows are done, after every chunk.
    """
    chunks = [range(start, min(start + _CHUNK, length)) for start in range(0, length, _CHUNK)]
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        for rows, result in zip(chunks, pool.map(work, chunks), strict=True):
            progress(rows.stop)
            yield result
    finally:
        pool.shutdown(cancel_futures=True)

"""Randomness by position instead of by history.

Every random number of a run is drawn from a generator seeded by *where* it is used (run seed, stage, epoch, ...),
never from one that has been carried along. So nothing random has to be saved in a checkpoint, and a run started
again in its middle draws the numbers it would have drawn anyway.
"""

import hashlib

import torch

__all__ = ["derive_seed", "generator"]


def derive_seed(seed: int, *position: str | int) -> int:
    """Returns a 63-bit seed that depends on ``seed`` and on every part of ``position``.

    Args:
        seed: the run's seed.
        position: where the numbers are used, from the outside in: ``"pretrain", epoch``.
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in position)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *position: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Returns a fresh generator on ``device`` for one position; see :func:`derive_seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *position))

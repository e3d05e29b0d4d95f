"""The text form of the once-for-all architectures, as pure functions.

It lists the blocks that run, stage by stage, each with its kernel size and expansion ratio::

    k3e6,k5e4/k7e3,k3e3,k3e4/k5e6,k5e6/k3e4,k3e4,k7e6,k5e3/k3e3,k3e6

Where the input's resolution is decided it comes first, ``r128:k3e6,...``. Blocks behind a ``~`` do not run: they are
written, ``k3e6,k5e4~k7e6``, only where one of them has other than its first options, k3 and e3.
"""

import re
from collections.abc import Sequence

from tailornas.errors import ArchitectureError
from tailornas.types import Architecture

__all__ = ["BLOCKS", "DEPTHS", "EXPANSIONS", "KERNELS", "STAGES", "from_text", "to_text"]

STAGES = 5
DEPTHS = (2, 3, 4)
EXPANSIONS = (3, 4, 6)
KERNELS = (3, 5, 7)

BLOCKS = max(DEPTHS)
"""Blocks of a stage in the supernet."""

FORM = (
    "the form is k3e6,k5e4/... with five stages of 2 to 4 blocks, kernels k3 k5 k7 and expansions e3 e4 e6; "
    "blocks after a ~ do not run"
)
FIRST = f"k{KERNELS[0]}e{EXPANSIONS[0]}"
BLOCK = re.compile(rf"k({'|'.join(map(str, KERNELS))})e({'|'.join(map(str, EXPANSIONS))})")


def to_text(arch: Architecture) -> str:
    """Writes an architecture of the once-for-all space; every option of it can be read back."""
    stages = []
    for stage in range(1, STAGES + 1):
        keys = [f"stage{stage}.block{block}" for block in range(1, BLOCKS + 1)]
        blocks = [f"k{arch[f'{key}.kernel']}e{arch[f'{key}.expansion']}" for key in keys]
        depth = int(arch[f"stage{stage}.depth"])
        while len(blocks) > depth and blocks[-1] == FIRST:
            blocks.pop()
        idle = "~" + ",".join(blocks[depth:]) if len(blocks) > depth else ""
        stages.append(",".join(blocks[:depth]) + idle)
    resolution = f"r{arch['resolution']}:" if "resolution" in arch else ""
    return resolution + "/".join(stages)


def from_text(text: str, resolutions: Sequence[int]) -> Architecture:
    """Reads an architecture of the once-for-all space.

    Args:
        text: see the module.
        resolutions: those that architectures choose from; empty: none is expected in front.

    Raises:
        ArchitectureError: the text is malformed; says where and what was expected.
    """
    choices: dict[str, str] = {}
    at = 0
    if resolutions:
        prefix, colon, _ = text.partition(":")
        known = [f"r{size}" for size in resolutions]
        if not colon or prefix not in known:
            raise _malformed(text, 0, f"one of {', '.join(known)} and a colon")
        choices["resolution"] = prefix.removeprefix("r")
        at = len(prefix) + 1
    stages = text[at:].split("/")
    if len(stages) != STAGES:
        raise _malformed(text, len(text), f"{STAGES} stages separated by '/', not {len(stages)}")
    for stage, part in enumerate(stages, start=1):
        running, tilde, idle = part.partition("~")
        depth, blocks = running.count(",") + 1, running.split(",") + (idle.split(",") if tilde else [])
        choices[f"stage{stage}.depth"] = str(depth)
        if depth not in DEPTHS or len(blocks) > BLOCKS:
            raise _malformed(text, at, f"a stage of {DEPTHS[0]} to {BLOCKS} blocks")
        for block in range(1, BLOCKS + 1):
            token = blocks[block - 1] if block <= len(blocks) else FIRST
            match = BLOCK.fullmatch(token)
            if match is None:
                raise _malformed(text, at, f"block {block} of stage {stage}")
            key = f"stage{stage}.block{block}"
            choices[f"{key}.kernel"], choices[f"{key}.expansion"] = match.groups()
            at += len(token) + 1 if block <= len(blocks) else 0
    return Architecture(tuple(choices.items()))


def _malformed(text: str, at: int, expected: str) -> ArchitectureError:
    came = repr(text[at : at + 20]) if at < len(text) else "the end"
    return ArchitectureError(f"MobileNetV3 architecture, position {at}: expected {expected}, got {came}; {FORM}")

"""Elastic networks as strips of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from tailornas.spaces.svg import FONT, MARGIN, SMALL, label, page, shortened, text, text_width

__all__ = ["Block", "Stage", "draw_strip"]

BLOCK_HEIGHT, BLOCK_LEAST, BLOCK_GAP, STAGE_GAP = 150, 44, 8, 30


@final
@dataclass(frozen=True)
class Block:
    """A block of an elastic network.

    Args:
        lines: what it says inside, such as its kernel size and its expansion.
        caption: what it says below, such as its channels.
        size: its height, a share of the largest block's in (0, 1].
        tone: 0 (pale) to 3 (strong).
    """

    lines: tuple[str, ...]
    caption: str = ""
    size: float = 0.4
    tone: int = 1


@final
@dataclass(frozen=True)
class Stage:
    """Blocks that belong together.

    Args:
        title: what they share.
        blocks: from the input to the output.
    """

    title: str
    blocks: tuple[Block, ...]


def draw_strip(title: str, description: str, stages: Sequence[Stage], legend: str = "") -> str:
    """Draws stages of blocks from left to right.

    Args:
        title: shown above the blocks.
        description: for screen readers, such as the architecture's text form.
        stages: what to draw.
        legend: what height and colour mean; shown below.
    """
    blocks = [block for stage in stages for block in stage.blocks]
    tallest = max(_block_height(block) for block in blocks)
    top = MARGIN + 2 * FONT
    middle = top + 1.8 * SMALL + tallest / 2
    foot = middle + tallest / 2 + SMALL
    parts, x, before = [text(MARGIN, MARGIN + FONT / 2, title, "title")], float(MARGIN), None
    for stage in stages:
        start = x
        for block in stage.blocks:
            width, height = _block_width(block), _block_height(block)
            if before is not None:
                parts.insert(0, f'<path class="bus" d="M{before:g} {middle:g} H{x:g}"/>')
            parts += _block(block, x, middle, width, height)
            if block.caption:
                parts.append(label(x + width / 2, foot, block.caption, "faint", SMALL))
            before = x + width
            x = before + BLOCK_GAP
        if stage.title:
            parts.append(text(start, top + SMALL / 2, stage.title, "faint start", SMALL))
        x = max(x - BLOCK_GAP, start + text_width(stage.title, SMALL)) + STAGE_GAP
    x += MARGIN - STAGE_GAP
    foot += SMALL
    if legend:
        foot += 2 * SMALL
        parts.append(text(MARGIN, foot, legend, "faint start", SMALL))
    width = max(x, 2 * MARGIN + max(text_width(title), text_width(legend, SMALL)))
    return page(title, description, width, foot + MARGIN, parts)


def _block(block: Block, x: float, middle: float, width: float, height: float) -> list[str]:
    box = (
        f'<rect class="block tone{block.tone}" x="{x:g}" y="{middle - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="6"/>'
    )
    first = middle - (len(block.lines) - 1) * FONT * 0.6
    lines = [label(x + width / 2, first + number * FONT * 1.2, line) for number, line in enumerate(block.lines)]
    return [box, *lines]


def _block_width(block: Block) -> float:
    inside = max([text_width(shortened(line)) for line in block.lines] + [0]) + 14
    return max(float(BLOCK_LEAST), inside, text_width(shortened(block.caption), SMALL) + 4)


def _block_height(block: Block) -> float:
    return max(BLOCK_HEIGHT * block.size, len(block.lines) * FONT * 1.2 + 12)

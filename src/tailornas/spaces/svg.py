"""What all pictures of architectures share: colours, texts, the page.

The pictures stand alone: they bring their colours, for light and for dark viewers, and paint their background.
"""

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

__all__ = ["FONT", "MARGIN", "SMALL", "label", "page", "shortened", "text", "text_width"]

FONT, SMALL = 14, 12
CHARACTER = 0.6
"""Width of a character over the font size; wide enough for the sans serif fonts of all systems."""
LONGEST = 26
"""Characters of a label; longer ones end in an ellipsis and are whole in the tooltip."""

MARGIN = 24

STYLE = """
:root { --paper: #ffffff; --ink: #1d2433; --faint: #667085; --node: #eef1f6; --line: #98a2b3;
  --conv: #1f5fbf; --pool: #a04d00; --skip: #667085; --other: #7a3aa8;
  --tone0: #e8eef8; --tone1: #cfdff5; --tone2: #9fc0ec; --tone3: #6b9fe0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e9edf5; --faint: #9aa5b8; --node: #262d39;
  --line: #66728a; --conv: #7db2ff; --pool: #f0a35e; --skip: #9aa5b8; --other: #cf9bf5;
  --tone0: #222b3a; --tone1: #27405f; --tone2: #2c588c; --tone3: #3271bd; } }
svg { background: var(--paper); }
text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink);
  text-anchor: middle; dominant-baseline: central; }
.paper { fill: var(--paper); }
.title { font-weight: 600; text-anchor: start; }
.faint { fill: var(--faint); }
.start { text-anchor: start; }
.node rect { fill: var(--node); stroke: var(--line); }
.idle { opacity: 0.45; }
.edge path, .bus { fill: none; stroke-width: 1.7; }
.edge .tip { stroke: none; }
.conv path { stroke: var(--conv); } .conv text, .conv .tip { fill: var(--conv); }
.pool path { stroke: var(--pool); } .pool text, .pool .tip { fill: var(--pool); }
.skip path { stroke: var(--skip); stroke-dasharray: 5 4; } .skip text, .skip .tip { fill: var(--skip); }
.other path { stroke: var(--other); } .other text, .other .tip { fill: var(--other); }
.bus { stroke: var(--line); }
.tip.grey { fill: var(--line); }
.block { stroke: var(--line); }
.tone0 { fill: var(--tone0); } .tone1 { fill: var(--tone1); }
.tone2 { fill: var(--tone2); } .tone3 { fill: var(--tone3); }
"""


def page(title: str, description: str, width: float, height: float, parts: Iterable[str]) -> str:
    """The whole picture.

    Args:
        title: its name, for readers of any kind.
        description: for screen readers.
        width: in pixels.
        height: in pixels.
        parts: what it contains.
    """
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="{FONT}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


def text(x: float, y: float, words: str, style: str = "", size: int = FONT) -> str:
    """A text, centred at a point unless its style says otherwise."""
    classes = f" class={quoteattr(style)}" if style else ""
    sized = f' font-size="{size}"' if size != FONT else ""
    return f'<text x="{x:g}" y="{y:g}"{classes}{sized}>{escape(words)}</text>'


def label(x: float, y: float, words: str, style: str = "", size: int = FONT) -> str:
    """A text that is shortened if it is long, and then whole in the tooltip."""
    drawn = text(x, y, shortened(words), style, size)
    return drawn if shortened(words) == words else f"<g>{drawn}<title>{escape(words)}</title></g>"


def shortened(words: str) -> str:
    """The text, at most :data:`LONGEST` characters of it."""
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def text_width(words: str, size: int = FONT) -> float:
    """At most how many pixels wide a text is."""
    return CHARACTER * size * len(words)

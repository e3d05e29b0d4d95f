"""What somebody has to know who takes a trained network from its run folder and uses it."""

from tailornas.report.formats import count
from tailornas.report.summary import Verdict
from tailornas.report.values import Data, Network

__all__ = ["advice", "preparation"]


def advice(judged: Verdict, found: Network, baseline: Network) -> str:
    """Which of two networks to take: the one that recognises more or, where that is not known, the cheaper one."""
    if judged.outcome == "found":
        return "Take the found network: it recognises more."
    if judged.outcome == "baseline":
        return f"Take the baseline {baseline['name']}: it recognises more."
    costs = [(network["macs"], network["params"]) for network in (found, baseline)]
    if costs[0] == costs[1]:
        return "Neither is known to recognise more, and they cost the same: take either."
    cheaper, name = (found, "found network") if costs[0] < costs[1] else (baseline, f"baseline {baseline['name']}")
    by = (
        f"{count(cheaper['macs'])} MACs"
        if found["macs"] != baseline["macs"]
        else f"{count(cheaper['params'])} parameters"
    )
    return f"Neither is known to recognise more, so take the one that is cheaper for you: the {name} has {by}."


def preparation(data: Data) -> str:
    """What becomes of an image before a network sees it, in words and numbers."""
    size = data["image_size"]
    mean, std = (", ".join(f"{number:.4f}" for number in data[name]) for name in ("mean", "std"))
    return f"RGB, {size} by {size} pixels, scaled to between 0 and 1; then by channel less {mean}, divided by {std}"

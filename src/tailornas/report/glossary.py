"""What the words of a report mean, in a line each, for readers who do not train networks for a living."""

import re
from collections.abc import Iterable, Mapping

__all__ = ["METHODS", "TERMS", "explained"]

TERMS: Mapping[str, str] = {
    "Parameters": "the numbers that training fits",
    "MACs": "multiply-accumulate operations for one image: how much arithmetic the network takes, on any machine",
    "Latency": "time for one image by itself, on the machine of this run",
    "IQR": "interquartile range: within how many milliseconds the middle half of the timed passes lies",
    "scratch": "the first weights were random",
    "recall": "share of a class's images that are recognised as this class",
    "balanced accuracy": "mean of the recalls of all classes: a rare class counts as much as a frequent one",
    "±": "one standard error: with other images of the same kind a figure would change by less than this two times in "
    "three, and by less than twice this nineteen times in twenty",
    "top-1 accuracy": "share of all images that are recognised: a class counts by its number of images",
    "many-shot": "recall, as a mean, of the classes with many training images, more than 100 unless set otherwise",
    "medium-shot": "the same of the classes between many and few",
    "few-shot": "the same of the classes with few training images, fewer than 20 unless set otherwise",
    "worst class": "the lowest recall of a class",
    "macro F1": "mean over the classes of F1, which falls both when a class's images are missed and when images of "
    "others are taken for it",
    "harmonic mean": "of the recalls; low recalls pull it down most, and it is 0 where a class is never recognised",
    "geometric mean": "of the recalls; low recalls pull it down, and it is 0 where a class is never recognised",
    "AUROC": "how well the probabilities tell a class from the others, whatever the threshold: 50% is guessing, 100% "
    "perfect; a mean over the classes",
    "ECE": "expected calibration error: how far the probability of a prediction is from how often such predictions are "
    "right; 0 is best",
    "Wilson interval": "where the recall of a class may well lie, seeing how few images it was measured on",
    "supernet": "one network that contains every architecture of the search, so that candidates are scored with its "
    "weights instead of being trained one by one",
    "Pareto front": "the candidates that no other one beats in both score and cost",
    "learning rate": "how far one step of training moves the parameters",
}
"""A term as it is found on a page, in whatever case -> what it means."""

METHODS: Mapping[str, str] = {
    "cross_entropy": "the usual loss, which knows nothing of class sizes",
    "focal": "loss that counts images less that are recognised already",
    "class_balanced_focal": "focal loss with a weight a class, more for rare ones",
    "ldam": "loss that asks for a wider margin around rare classes",
    "balanced_softmax": "loss that takes out of the outputs what they owe to class sizes alone",
    "logit_adjustment": "what outputs owe to class sizes alone is taken out: by the loss, or after training",
    "label_aware_smoothing": "loss that asks for less certainty, the least of the biggest class",
    "seql": "equalisation loss: rare classes are spared being pushed down by images of frequent ones",
    "mixup": "training images are blended in pairs",
    "remix": "training images are blended in pairs; where one class is far bigger, the rarer may get the whole label",
    "auto weights": "class weights by the effective number of images: rare classes count more",
    "effective weights": "class weights by the effective number of images: rare classes count more",
    "inverse weights": "class weights by one over the number of images: rare classes count more",
    "smoothed weights": "class weights by a power of one over the number of images: rare classes count more",
    "own weights": "class weights that were given, one a class",
    "drw": "deferred re-weighting: class weights come in late in training",
    "drs": "deferred re-sampling: rare classes are shown more often, late in training",
    "class_balanced": "all classes are shown equally often",
    "square_root": "classes are shown in proportion to the square root of their size",
    "progressive": "classes are shown by their size at first, equally often at the end",
    "reversed": "rare classes are shown more often than frequent ones",
    "linear": "the usual head, the network's last layer: weighted sums of the features",
    "cosine": "head that compares the directions of features and classes, for a loss that scales the cosines",
    "scaled_cosine": "head that compares the directions of features and classes",
    "etf": "head whose directions of the classes are fixed, as far apart as they can be",
    "two branches": "one branch is fitted to all images and one to rare classes, and what they say is added",
    "crt": "afterwards a new head is fitted alone, to classes that are shown equally often unless set otherwise",
    "lws": "afterwards one scale a class is fitted, to classes that are shown equally often unless set otherwise",
    "tau_norm": "afterwards the head's weights are made more alike in length from class to class",
    "ncm": "afterwards the head is replaced by the mean features of every class",
}
"""A part of a loss's title, without its numbers -> what it means."""


def explained(texts: Iterable[str], losses: Iterable[str]) -> dict[str, str]:
    """The terms that occur on a page, and what they mean.

    Args:
        texts: what the page says in its own words: a class or a path may be called as a term is.
        losses: titles of the losses on it, :attr:`tailornas.training.TrainConfig.title`.
    """
    said = "\n".join(texts)
    # Named only where it stands by itself: "supernets" is found, "traced" does not hold "ECE".
    terms = {term: text for term, text in TERMS.items() if re.search(rf"(?<!\w){re.escape(term)}s?(?!\w)", said, re.I)}
    parts = {re.sub(r":\S+", "", part) for loss in losses for part in loss.split(" + ")}
    return terms | {name: text for name, text in METHODS.items() if name in parts}

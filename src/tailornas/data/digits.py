"""The handwritten digits that scikit-learn ships."""

import numpy as np
import torch

from tailornas.data.stored import ImageArrays, StoredSource, StoredSplit

__all__ = ["read_digits"]


def read_digits() -> StoredSource:
    """Reads 1,797 grey images of 8 x 8 pixels, whose values 0 to 16 are scaled to 0 to 255.

    They have no test part of their own, and a mirrored digit is not a digit.
    """
    from sklearn.datasets import (
        load_digits,
    )  # takes a second to import, which other sources need not wait for

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    train = StoredSplit(ImageArrays(pixels, "digits"), labels)
    return StoredSource(train, None, tuple(str(name) for name in digits.target_names), "digits", flip=False)

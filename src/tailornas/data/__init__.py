"""Images and labels: from where they lie to the batches of a long-tailed split."""

from tailornas.data.augment import AugmentConfig, crop_and_flip, cutout, normalize
from tailornas.data.balanced import BalancedSource, balanced_source
from tailornas.data.batches import Batches, ordered
from tailornas.data.decode import decode_image
from tailornas.data.images import MemoryImages, StreamedImages
from tailornas.data.profiles import Profile, class_counts
from tailornas.data.sampling import SAMPLERS, Sampler, shard
from tailornas.data.sources import SOURCES, Source, load
from tailornas.data.splits import DataConfig, Dataset, pixel_statistics, prepare
from tailornas.data.stratified import draw, hold_out

__all__ = [
    "SAMPLERS",
    "SOURCES",
    "AugmentConfig",
    "BalancedSource",
    "Batches",
    "DataConfig",
    "Dataset",
    "MemoryImages",
    "Profile",
    "Sampler",
    "Source",
    "StreamedImages",
    "balanced_source",
    "class_counts",
    "crop_and_flip",
    "cutout",
    "decode_image",
    "draw",
    "hold_out",
    "load",
    "normalize",
    "ordered",
    "pixel_statistics",
    "prepare",
    "shard",
]

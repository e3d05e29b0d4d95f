"""Images and labels: from where they lie to the batches of a long-tailed split."""

from tailornas.data.apart import apart_from
from tailornas.data.augment import AugmentConfig, crop_and_flip, cutout, normalize
from tailornas.data.autoaugment import autoaugment
from tailornas.data.balanced import BalancedSource, balanced_source
from tailornas.data.batches import Batches, ordered
from tailornas.data.decode import decode_image
from tailornas.data.images import MemoryImages, StreamedImages
from tailornas.data.inspection import Duplicate, Inspection, Part, gini, inspect
from tailornas.data.profiles import Profile, class_counts
from tailornas.data.sampling import SAMPLERS, Sampler, shard
from tailornas.data.scan import Problem, Scan, scan
from tailornas.data.sources import SOURCES, PartName, Source, load, read
from tailornas.data.splits import DataConfig, Dataset, divide, pixel_statistics, prepare
from tailornas.data.stratified import draw, hold_out

__all__ = [
    "SAMPLERS",
    "SOURCES",
    "AugmentConfig",
    "BalancedSource",
    "Batches",
    "DataConfig",
    "Dataset",
    "Duplicate",
    "Inspection",
    "MemoryImages",
    "Part",
    "PartName",
    "Problem",
    "Profile",
    "Sampler",
    "Scan",
    "Source",
    "StreamedImages",
    "apart_from",
    "autoaugment",
    "balanced_source",
    "class_counts",
    "crop_and_flip",
    "cutout",
    "decode_image",
    "divide",
    "draw",
    "gini",
    "hold_out",
    "inspect",
    "load",
    "normalize",
    "ordered",
    "pixel_statistics",
    "prepare",
    "read",
    "scan",
    "shard",
]

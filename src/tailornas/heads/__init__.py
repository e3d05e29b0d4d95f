"""Classifier heads: the last layer of a network."""

from tailornas.heads.build import HEADS, build_head
from tailornas.heads.cosine import CosineHead
from tailornas.heads.decoupled import LWSHead, nearest_class_mean, tau_normalized
from tailornas.heads.etf import ETFHead, simplex_etf
from tailornas.heads.linear import LinearHead, linear_head

__all__ = [
    "HEADS",
    "CosineHead",
    "ETFHead",
    "LWSHead",
    "LinearHead",
    "build_head",
    "linear_head",
    "nearest_class_mean",
    "simplex_etf",
    "tau_normalized",
]

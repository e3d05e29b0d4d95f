"""Search spaces, the networks they contain, and what networks cost."""

from tailornas.spaces.build import SPACES, SpaceConfig, build_space
from tailornas.spaces.choice import Choice
from tailornas.spaces.cost import Cost, Latency, count, latency
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.nasbench201 import NASBench201, cell_edges, nasbench201
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise
from tailornas.spaces.resnet import CifarResNet, cifar_resnet, nearest_resnet
from tailornas.spaces.space import SearchSpace

__all__ = [
    "SPACES",
    "Backbone",
    "Choice",
    "CifarResNet",
    "Cost",
    "Grammar",
    "Latency",
    "NASBench201",
    "SearchSpace",
    "SpaceConfig",
    "build_space",
    "cell_edges",
    "cifar_resnet",
    "count",
    "initialise",
    "latency",
    "nasbench201",
    "nearest_resnet",
]

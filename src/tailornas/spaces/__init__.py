"""Search spaces, the networks they contain, and what networks cost."""

from tailornas.spaces.backbones import BackboneConfig, build_backbone, check_backbone, load_weights, space_of
from tailornas.spaces.build import (
    DEFAULT_SPACE,
    SPACES,
    DARTSConfig,
    ElasticResNetConfig,
    MobileNetConfig,
    NASBench201Config,
    NATSSizeConfig,
    OwnConfig,
    SpaceConfig,
    SpaceSection,
    build_space,
    check_space,
    identify,
    kept_space,
    space_config,
)
from tailornas.spaces.choice import Choice
from tailornas.spaces.cost import Cost, Latency, count, latencies, latency
from tailornas.spaces.darts import darts, genotype_of
from tailornas.spaces.darts_network import DARTSNetwork, darts_network
from tailornas.spaces.dimension import Dimension, Number, current, largest
from tailornas.spaces.elastic import ElasticBatchNorm2d, ElasticDepth, ElasticLinear
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.spaces.elastic_resnet import ElasticResNet, elastic_resnet
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.group import Group
from tailornas.spaces.latency_table import LatencyTable, compare
from tailornas.spaces.mobilenet import MobileNetV3, mobilenet
from tailornas.spaces.nasbench201 import NASBench201, nasbench201
from tailornas.spaces.nasbench201_cells import cell_edges
from tailornas.spaces.nats_size import NATSSize, nats_size
from tailornas.spaces.network import Backbone
from tailornas.spaces.ofa_checkpoint import NORMALIZATION, load_ofa, load_published
from tailornas.spaces.operations import initialise
from tailornas.spaces.own import parameters
from tailornas.spaces.pictures import draw
from tailornas.spaces.resnet import DEPTHS, CifarResNet, cifar_resnet, nearest_depth
from tailornas.spaces.space import SearchSpace
from tailornas.spaces.weights import is_weights

__all__ = [
    "DEFAULT_SPACE",
    "DEPTHS",
    "NORMALIZATION",
    "SPACES",
    "Backbone",
    "BackboneConfig",
    "Choice",
    "CifarResNet",
    "Cost",
    "DARTSConfig",
    "DARTSNetwork",
    "Dimension",
    "ElasticBatchNorm2d",
    "ElasticConv2d",
    "ElasticDepth",
    "ElasticLinear",
    "ElasticResNet",
    "ElasticResNetConfig",
    "Grammar",
    "Group",
    "Latency",
    "LatencyTable",
    "MobileNetConfig",
    "MobileNetV3",
    "NASBench201",
    "NASBench201Config",
    "NATSSize",
    "NATSSizeConfig",
    "Number",
    "OwnConfig",
    "SearchSpace",
    "SpaceConfig",
    "SpaceSection",
    "build_backbone",
    "build_space",
    "cell_edges",
    "check_backbone",
    "check_space",
    "cifar_resnet",
    "compare",
    "count",
    "current",
    "darts",
    "darts_network",
    "draw",
    "elastic_resnet",
    "genotype_of",
    "identify",
    "initialise",
    "is_weights",
    "kept_space",
    "largest",
    "latencies",
    "latency",
    "load_ofa",
    "load_published",
    "load_weights",
    "mobilenet",
    "nasbench201",
    "nats_size",
    "nearest_depth",
    "parameters",
    "space_config",
    "space_of",
]

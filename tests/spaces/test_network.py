import pytest
import torch

from tailornas.heads import HEADS, build_head
from tailornas.seeding import generator
from tailornas.spaces import cifar_resnet


@pytest.mark.parametrize("name", HEADS)
def test_the_head_keeps_full_precision_inside_autocast(name: str) -> None:
    """Equal features give equal logits, which in bfloat16 would tie: then the first class, the largest, would win."""
    network = cifar_resnet(8, 50, generator=generator(0)).eval()
    network.head = build_head(name, network.feature_dim, 50, generator(1))
    features = torch.randn(200, network.feature_dim, generator=generator(2)).abs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network.classify(features)
        outputs = network(torch.randn(4, 3, 8, 8, generator=generator(3)))
    assert torch.equal(logits, network.head(features))
    assert outputs.dtype == torch.float32

"""The published once-for-all supernets: names and shapes of their tensors, and what their sub-networks compute.

Two references: numbers that the authors' code gave (``ofa_reference.json``), and :func:`plain`, which states what a
sub-network is in terms of those tensors alone and is itself held against the numbers.
"""

import copy
import json
import pickle
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import CheckpointError
from tailornas.spaces import SearchSpace, nasbench201
from tailornas.spaces.mobilenet import MobileNetV3, mobilenet
from tailornas.spaces.ofa_checkpoint import load_ofa, load_published, official_name
from tailornas.types import Architecture

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("ofa_reference.json").read_text())["cases"]
RECORDED = [0, 1, 500, 999]
BLOCK = "blocks.{}.mobile_inverted_conv"
CHANNELS = {1.0: (16, 24, 40, 80, 112, 160, 960, 1280), 1.2: (24, 32, 48, 96, 136, 192, 1152, 1536)}
STRIDES = (2, 2, 2, 1, 2)
HARD_SWISH = (False, False, True, True, True)
SQUEEZED = (False, True, False, True, True)


def eights(value: int) -> int:
    """The nearest multiple of 8, a half rounded up; the next one if more than a tenth would be lost."""
    rounded = (value + 4) // 8 * 8
    return rounded + 8 if rounded < 0.9 * value else rounded


def official_shapes(width: float, classes: int = 1000) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{kind}": (channels,) for kind in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{name}.num_batches_tracked"] = ()

    first, *stages, last, features = CHANNELS[width]
    shapes["first_conv.conv.weight"] = (first, 3, 3, 3)
    norm("first_conv.bn", first)
    shapes[f"{BLOCK.format(0)}.depth_conv.conv.weight"] = (first, 1, 3, 3)
    norm(f"{BLOCK.format(0)}.depth_conv.bn", first)
    shapes[f"{BLOCK.format(0)}.point_linear.conv.weight"] = (first, first, 1, 1)
    norm(f"{BLOCK.format(0)}.point_linear.bn", first)
    inputs = first
    for block in range(20):
        name, middle, outputs = BLOCK.format(block + 1), eights(6 * inputs), stages[block // 4]
        shapes[f"{name}.inverted_bottleneck.conv.conv.weight"] = (middle, inputs, 1, 1)
        norm(f"{name}.inverted_bottleneck.bn.bn", middle)
        shapes[f"{name}.depth_conv.conv.5to3_matrix"] = (9, 9)
        shapes[f"{name}.depth_conv.conv.7to5_matrix"] = (25, 25)
        shapes[f"{name}.depth_conv.conv.conv.weight"] = (middle, 1, 7, 7)
        norm(f"{name}.depth_conv.bn.bn", middle)
        if SQUEEZED[block // 4]:
            inner = eights(middle // 4)
            shapes[f"{name}.depth_conv.se.fc.reduce.weight"] = (inner, middle, 1, 1)
            shapes[f"{name}.depth_conv.se.fc.reduce.bias"] = (inner,)
            shapes[f"{name}.depth_conv.se.fc.expand.weight"] = (middle, inner, 1, 1)
            shapes[f"{name}.depth_conv.se.fc.expand.bias"] = (middle,)
        shapes[f"{name}.point_linear.conv.conv.weight"] = (outputs, middle, 1, 1)
        norm(f"{name}.point_linear.bn.bn", outputs)
        inputs = outputs
    shapes["final_expand_layer.conv.weight"] = (last, inputs, 1, 1)
    norm("final_expand_layer.bn", last)
    shapes["feature_mix_layer.conv.weight"] = (features, last, 1, 1)
    shapes["classifier.linear.weight"] = (classes, features)
    shapes["classifier.linear.bias"] = (classes,)
    return shapes


def official_state(width: float, classes: int = 1000, seed: int = 0) -> dict[str, Tensor]:
    """Random weights by the rule of the recorded numbers.

    Tensors in sorted order of names, each from standard normal numbers n of numpy's RandomState, whose stream is frozen
    for good: transformation matrices are I + 0.1 n, variances and scales of batch norms exp(0.3 n), of which the scales
    that end a residual branch are multiplied by 0.6, their means and all biases 0.3 n, other weights n times the square
    root of 2 / inputs.
    """
    draws = np.random.RandomState(seed)
    state = {}
    for name, shape in sorted(official_shapes(width, classes).items()):
        normal, kind = np.asarray(draws.standard_normal(shape)), name.rpartition(".")[2]
        if kind == "num_batches_tracked":
            state[name] = torch.tensor(7)
            continue
        if kind.endswith("_matrix"):
            value = np.eye(len(normal)) + 0.1 * normal
        elif kind == "running_var" or (kind == "weight" and len(shape) == 1):
            value = np.exp(0.3 * normal) * (0.6 if "point_linear" in name and kind == "weight" else 1)
        elif kind in ("running_mean", "bias"):
            value = 0.3 * normal
        else:
            value = normal * (2 / np.prod(shape[1:])) ** 0.5
        state[name] = torch.from_numpy(value).float()
    return state


def images(seed: int, size: int, batch: int = 2) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal((batch, 3, size, size))).float()


def plain(state: dict[str, Tensor], case: dict[str, Any], x: Tensor, training: bool = False) -> Tensor:
    """What a sub-network computes, from the tensors of the file."""

    def norm(x: Tensor, name: str) -> Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        mean, var, weight, bias = (state[f"{name}.{kind}"][: x.shape[1]].clone() for kind in kinds)
        return F.batch_norm(x, mean, var, weight, bias, training)

    x = F.hardswish(norm(F.conv2d(x, state["first_conv.conv.weight"], stride=2, padding=1), "first_conv.bn"))
    name = BLOCK.format(0)
    y = F.conv2d(x, state[f"{name}.depth_conv.conv.weight"], padding=1, groups=x.shape[1])
    y = F.conv2d(F.relu(norm(y, f"{name}.depth_conv.bn")), state[f"{name}.point_linear.conv.weight"])
    x = x + norm(y, f"{name}.point_linear.bn")
    for block in range(20):
        stage, index = divmod(block, 4)
        if index >= case["depths"][stage]:
            continue
        name, kernel, middle = BLOCK.format(block + 1), case["kernels"][block], x.shape[1] * case["expansions"][block]
        activation = F.hardswish if HARD_SWISH[stage] else F.relu
        y = F.conv2d(x, state[f"{name}.inverted_bottleneck.conv.conv.weight"][:middle])
        y = activation(norm(y, f"{name}.inverted_bottleneck.bn.bn"))
        filters = state[f"{name}.depth_conv.conv.conv.weight"][:middle]
        for small in (5, 3):
            if kernel <= small:
                centre = filters[:, 0, 1:-1, 1:-1].reshape(middle, small * small)
                matrix = state[f"{name}.depth_conv.conv.{small + 2}to{small}_matrix"]
                filters = torch.einsum("oi,ci->co", matrix, centre).view(middle, 1, small, small)
        y = F.conv2d(y, filters, stride=1 if index else STRIDES[stage], padding=kernel // 2, groups=middle)
        y = activation(norm(y, f"{name}.depth_conv.bn.bn"))
        if SQUEEZED[stage]:
            se, inner = f"{name}.depth_conv.se.fc", eights(middle // 4)
            s = F.conv2d(y.mean((2, 3), keepdim=True), state[f"{se}.reduce.weight"][:inner, :middle])
            s = F.relu(s + state[f"{se}.reduce.bias"][:inner, None, None])
            s = F.conv2d(s, state[f"{se}.expand.weight"][:middle, :inner])
            y = y * F.hardsigmoid(s + state[f"{se}.expand.bias"][:middle, None, None])
        y = norm(F.conv2d(y, state[f"{name}.point_linear.conv.conv.weight"][:, :middle]), f"{name}.point_linear.bn.bn")
        x = x + y if index else y
    x = F.hardswish(norm(F.conv2d(x, state["final_expand_layer.conv.weight"]), "final_expand_layer.bn"))
    x = F.hardswish(F.conv2d(x.mean((2, 3), keepdim=True), state["feature_mix_layer.conv.weight"])).flatten(1)
    return F.linear(x, state["classifier.linear.weight"], state["classifier.linear.bias"])


@pytest.fixture(scope="module")
def states() -> dict[float, dict[str, Tensor]]:
    return {width: official_state(width) for width in CHANNELS}


def test_the_plain_statement_gives_the_recorded_numbers(states: dict[float, dict[str, Tensor]]) -> None:
    for case in CASES:
        state, x = states[case["width"]], images(**case["images"])
        logits = plain(state, case, x)[:, RECORDED]
        torch.testing.assert_close(logits, torch.tensor(case["logits"]), rtol=2e-4, atol=1e-4)
        if "training_logits" in case:
            logits = plain(state, case, x, training=True)[:, RECORDED]
            torch.testing.assert_close(logits, torch.tensor(case["training_logits"]), rtol=2e-4, atol=1e-4)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_case(space: SearchSpace[MobileNetV3], case: dict[str, Any]) -> Architecture:
    choices = {f"stage{stage + 1}.depth": str(depth) for stage, depth in enumerate(case["depths"])}
    for block, (kernel, expansion) in enumerate(zip(case["kernels"], case["expansions"], strict=True)):
        key = f"stage{block // 4 + 1}.block{block % 4 + 1}"
        choices.update({f"{key}.kernel": str(kernel), f"{key}.expansion": str(expansion)})
    return space.architecture(choices)


@pytest.fixture(scope="module")
def spaces(
    states: dict[float, dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory
) -> dict[float, SearchSpace[MobileNetV3]]:
    loaded = {}
    for width, state in states.items():
        path = tmp_path_factory.mktemp("published") / f"ofa_mbv3_d234_e346_k357_w{width}"
        torch.save({"state_dict": state}, path)
        loaded[width] = mobilenet(generator=seeded(0), classes=1000, width=width)
        load_ofa(loaded[width].network, path)
    return loaded


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['width']}-{case['images']['size']}")
def test_sub_networks_are_those_of_the_published_code(
    spaces: dict[float, SearchSpace[MobileNetV3]], case: dict[str, Any]
) -> None:
    space, x = spaces[case["width"]], images(**case["images"])
    arch = of_case(space, case)
    space.network.eval()
    with torch.inference_mode(), space.activate(arch):
        logits = space.network(x)[:, RECORDED]
    torch.testing.assert_close(logits, torch.tensor(case["logits"]), rtol=2e-4, atol=1e-4)
    network = space.derive(arch)
    with torch.inference_mode():
        assert torch.equal(network(x)[:, RECORDED], logits)
        if "training_logits" in case:
            logits = network.train()(x)[:, RECORDED]
            torch.testing.assert_close(logits, torch.tensor(case["training_logits"]), rtol=2e-4, atol=1e-4)
    biases = sum(
        layer.bias.numel() for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None
    )
    cost = space.cost(arch, 64)
    assert cost.params == case["params"]
    assert cost.macs == case["macs_at_64"] + biases + 1000


def test_sub_networks_are_slices_of_the_tensors(
    states: dict[float, dict[str, Tensor]], spaces: dict[float, SearchSpace[MobileNetV3]]
) -> None:
    space, source, x = spaces[1.0], random.Random(0), images(seed=9, size=48)
    space.network.eval()
    for _ in range(6):
        case = {
            "kernels": source.choices((3, 5, 7), k=20),
            "expansions": source.choices((3, 4, 6), k=20),
            "depths": source.choices((2, 3, 4), k=5),
        }
        with torch.inference_mode(), space.activate(of_case(space, case)):
            torch.testing.assert_close(space.network(x), plain(states[1.0], case, x), rtol=2e-4, atol=1e-4)


def test_a_published_supernet_is_small(spaces: dict[float, SearchSpace[MobileNetV3]]) -> None:
    sizes = {width: sum(t.nbytes for t in space.network.state_dict().values()) for width, space in spaces.items()}
    assert sizes == {1.0: 30_883_328, 1.2: 43_066_848}


# From here on a small supernet of the same names, which is fast to write and read.


@cache
def built(classes: int) -> MobileNetV3:
    return mobilenet(generator=seeded(0), classes=classes, width=0.125).network


def small(classes: int = 5) -> MobileNetV3:
    return copy.deepcopy(built(classes))


@cache
def drawn(classes: int) -> dict[str, Tensor]:
    return {
        name: torch.rand(tensor.shape, generator=seeded(1)) if tensor.is_floating_point() else tensor
        for name, tensor in loaded(built(classes)).items()
    }


def small_state(classes: int = 5) -> dict[str, Tensor]:
    return dict(drawn(classes))


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def loaded(network: MobileNetV3) -> dict[str, Tensor]:
    return {official_name(name): tensor for name, tensor in network.state_dict().items()}


def current(name: str) -> str:
    """The names that the newest release of the published code gives to its own modules."""
    if not name.startswith("blocks."):
        return name
    if not name.startswith("blocks.0."):
        name = name.replace(".bn.", ".bn.bn.")
        name = re.sub(r"\.conv\.weight$", ".conv.conv.weight", name)
    return name


SPELLINGS: dict[str, Callable[[str], str]] = {
    "current": current,
    "older": lambda name: current(name).replace(".conv.", ".mobile_inverted_conv.", 1) if "blocks" in name else name,
    "parallel": lambda name: f"module.{current(name)}",
    "plain": lambda name: name,
    "wrapped": lambda name: name.replace("classifier.linear.", "classifier.linear.linear."),
}


@pytest.mark.parametrize(
    ("spelling", "form"),
    [
        *((spelling, "wrapped") for spelling in SPELLINGS),
        *(("older", form) for form in ("bare", "legacy", "safetensors")),
    ],
)
def test_all_spellings_and_file_formats_load(tmp_path: Path, spelling: str, form: str) -> None:
    state = small_state()
    value = {SPELLINGS[spelling](name): tensor for name, tensor in state.items()}
    path = tmp_path / ("supernet.safetensors" if form == "safetensors" else "ofa_mbv3_d234_e346_k357_w1.0")
    if form == "safetensors":
        safetensors.torch.save_file(value, path)
    elif form == "legacy":
        torch.save({"state_dict": value}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(value if form == "bare" else {"state_dict": value, "epoch": 3}, path)
    network = small()
    load_ofa(network, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded(network).items())


def test_the_names_are_those_of_the_published_file(spaces: dict[float, SearchSpace[MobileNetV3]]) -> None:
    for width, space in spaces.items():
        tensors = space.network.state_dict().items()
        shapes = {SPELLINGS["older"](official_name(name)): tuple(tensor.shape) for name, tensor in tensors}
        assert shapes == official_shapes(width)


def test_other_classes_keep_the_networks_head(tmp_path: Path) -> None:
    path, network = saved(tmp_path / "file", state := small_state(classes=7)), small()
    head = {name: tensor.clone() for name, tensor in network.head.state_dict().items()}
    load_ofa(network, path)
    assert all(torch.equal(tensor, head[name]) for name, tensor in network.head.state_dict().items())
    assert torch.equal(network.mix.weight, state["feature_mix_layer.conv.weight"])


def test_counts_of_batches_may_be_absent(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in small_state().items() if not name.endswith("num_batches_tracked")}
    network = small()
    load_ofa(network, saved(tmp_path / "file", state))
    assert torch.equal(network.mix.weight, state["feature_mix_layer.conv.weight"])


def test_weights_stay_on_their_device_in_their_format_and_trainable(tmp_path: Path) -> None:
    network = small().to(memory_format=torch.channels_last)
    network.requires_grad_(False).head.requires_grad_(True)
    load_ofa(network, saved(tmp_path / "file", small_state()))
    assert network.stem.get_parameter("conv.weight").is_contiguous(memory_format=torch.channels_last)
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]


class Executed:
    """Leaves a file behind when it is unpickled in earnest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def changed(**changes: object) -> dict[str, object]:
    return {**small_state(), **{name.replace("__", "."): value for name, value in changes.items()}}


BIAS = "classifier.linear.bias"


def without(*names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in small_state().items() if name not in names}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda: without("first_conv.conv.weight"), r"lacks 'first_conv\.conv\.weight': it is not of the space"),
        (lambda: without("first_conv.bn.bias", BIAS), r"lacks 'classifier\.linear\.bias' and 1 more"),
        (
            lambda: without("blocks.1.conv.depth_conv.conv.5to3_matrix"),
            r"lacks 'blocks\.1\.conv\.depth_conv\.conv\.5to3",
        ),
        (lambda: {"layer1.0.conv1.weight": torch.zeros(3)}, r"lacks 'classifier\.linear\.weight' and \d+ more"),
        (
            lambda: changed(fc=torch.zeros(1)),
            r"has, beyond what this network has, 'fc': .* expected a file like ofa_mbv3",
        ),
        (
            lambda: changed(classifier__linear__weight=torch.zeros(5, 7)),
            r"'classifier\.linear\.weight' is \(5, 7\) of ",
        ),
        (
            lambda: changed(classifier__linear__weight=torch.zeros(6, 7)),
            r"'classifier\.linear\.weight' is \(6, 7\) of ",
        ),
        (lambda: changed(classifier__linear__bias=torch.zeros(6)), r"is \(6,\) of torch\.float32, expected \(5,\)"),
        (
            lambda: changed(first_conv__bn__bias=torch.zeros(8, dtype=torch.int64)),
            r"of torch\.int64, expected \(8,\) of",
        ),
        (
            lambda: changed(first_conv__bn__bias=torch.zeros(16)),
            r"expected \(8,\) .* choose the file or the space's width",
        ),
        (
            lambda: changed(module__first_conv__bn__bias=torch.zeros(8)),
            r"names the tensor 'first_conv\.bn\.bias' twice",
        ),
        (lambda: changed(first_conv__bn__bias=0.5), r"the entry 'first_conv\.bn\.bias' is a float: expected tensors"),
        (lambda: {3: torch.zeros(1)}, r"the entry 3 is a Tensor: expected tensors by name"),
        (lambda: torch.zeros(3), r"holds a Tensor: expected tensors by name, or these as 'state_dict'"),
        (lambda: {"state_dict": {}}, r"holds an empty dict: expected"),
        (lambda: {"state_dict": [1]}, r"holds a list: expected"),
    ],
)
def test_another_checkpoint_is_refused_and_changes_nothing(
    tmp_path: Path, value: Callable[[], object], message: str
) -> None:
    network = small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        load_ofa(network, saved(tmp_path / "file", value()))
    assert "\n" not in str(caught.value) and str(tmp_path / "file") in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_the_supernet_of_another_width_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "file", small_state())
    with pytest.raises(CheckpointError, match=r"it is not of MobileNetV3 of width 0\.5, choose"):
        load_ofa(mobilenet(generator=seeded(0), classes=5, width=0.5).network, path)


@pytest.mark.parametrize("suffix", ["", ".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.012, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"file{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(small_state(), path)
    else:
        torch.save(small_state(), path, _use_new_zipfile_serialization=suffix == "")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r"damaged, cut short or no file of plain tensors .* download it again"):
        load_ofa(small(), path)


@pytest.mark.parametrize("protocol", ["torch", "pickle", "legacy"])
def test_nothing_in_a_file_is_executed(tmp_path: Path, protocol: str) -> None:
    path, trace = tmp_path / "file", tmp_path / "executed"
    value = {**small_state(), "extra": Executed(trace)}
    if protocol == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=protocol == "torch")
    with pytest.raises(CheckpointError, match="no file of plain tensors"):
        load_ofa(small(), path)
    assert not trace.exists()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*nothing: No such file"):
        load_ofa(small(), tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*nothing\.safetensors: No such file"):
        load_ofa(small(), tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*: Is a directory"):
        load_ofa(small(), tmp_path)


def test_supernets_of_other_spaces_are_not_published(tmp_path: Path) -> None:
    path, network = saved(tmp_path / "file", state := small_state()), small()
    load_published(network, path)
    assert torch.equal(network.mix.weight, state["feature_mix_layer.conv.weight"])
    cell_network = nasbench201(generator=seeded(0), channels=2, cells_per_stage=1).network
    with pytest.raises(CheckpointError, match=r"cannot become the supernet of NASBench201: .* set space\.name to 'mob"):
        load_published(cell_network, path)

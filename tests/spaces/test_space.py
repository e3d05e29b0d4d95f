"""SearchSpace over small modules of its user: construction, random draws, errors, costs, nesting."""

import copy
import itertools
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces import Choice, Cost, Dimension, Grammar, Group, Number, SearchSpace, count, current
from tailornas.spaces.cost_table import CostTable
from tailornas.types import Architecture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def conv(kernel: int) -> nn.Conv2d:
    return nn.Conv2d(3, 3, kernel, padding=kernel // 2)


def nested() -> nn.Sequential:
    """Choices a and b, and c inside an option of a; b occurs twice."""

    def b() -> Choice:
        return Choice("b", {"conv": conv(1), "relu": nn.ReLU()})

    inner = nn.Sequential(conv(3), Choice("c", {"three": conv(3), "one": conv(1), "tanh": nn.Tanh()}))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    return nn.Sequential(Choice("a", {"plain": nn.Identity(), "deep": inner}), b(), b(), head)


def arch(**choices: str) -> Architecture:
    return Architecture.of(choices)


def test_decisions_are_in_the_order_of_the_network() -> None:
    space = SearchSpace(nested())
    assert dict(space.decisions) == {"a": ("plain", "deep"), "c": ("three", "one", "tanh"), "b": ("conv", "relu")}
    assert list(space.decisions) == ["a", "c", "b"]
    assert space.size == 12


def test_a_network_without_choices_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="Sequential contains no Choice"):
        SearchSpace(nn.Sequential(nn.ReLU()))


def test_choices_of_one_key_must_have_the_same_options() -> None:
    network = nn.Sequential(
        Choice("a", {"x": nn.ReLU(), "y": nn.ReLU()}), Choice("a", {"y": nn.ReLU(), "x": nn.ReLU()})
    )
    with pytest.raises(ArchitectureError, match=r"share the key 'a'.*one has x, y, another y, x"):
        SearchSpace(network)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"a": "plain", "c": "one"}, r"'b' \(position 3 of 3\) is missing: expected one of conv, relu"),
        ({"a": "plain", "c": "two", "b": "relu"}, r"'c' \(position 2 of 3\) has the unknown option 'two'"),
        ({"a": "plain", "d": "x", "c": "one", "b": "relu"}, "unknown decision 'd' at position 2: expected a, c, b"),
    ],
)
def test_incomplete_architectures_are_refused_everywhere(choices: dict[str, str], message: str) -> None:
    space, wrong = SearchSpace(nested()), Architecture.of(choices)
    for use in (
        space.architecture,
        space.activate,
        space.derive,
        space.identity,
        space.canonical,
        space.simplify,
        space.valid,
        space.to_text,
        space.neighbours,
        lambda arch: space.mutate(arch, generator()),
        lambda arch: space.crossover(arch, arch, generator()),
        lambda arch: space.cost(arch, 4),
    ):
        with pytest.raises(ArchitectureError, match=message):
            use(wrong)


def test_the_order_of_choices_does_not_matter() -> None:
    space = SearchSpace(nested())
    ordered, other = arch(a="deep", c="one", b="relu"), arch(b="relu", a="deep", c="one")
    assert space.architecture(other) == ordered
    assert space.identity(other) == space.identity(ordered)
    assert space.from_text('{"b": "relu", "a": "deep", "c": "one"}') == ordered


def test_text_of_a_space_without_its_own_form_is_json() -> None:
    space = SearchSpace(nested())
    text = space.to_text(arch(a="deep", c="one", b="relu"))
    assert text == '{"a": "deep", "c": "one", "b": "relu"}'
    with pytest.raises(ArchitectureError, match="position 0"):
        space.from_text("deep one relu")


def test_a_decision_inside_an_option_that_is_not_chosen_decides_nothing() -> None:
    space = SearchSpace(nested())
    assert space.simplify(arch(a="plain", c="tanh", b="relu")) == arch(a="plain", c="three", b="relu")
    assert space.simplify(arch(a="deep", c="tanh", b="relu")) == arch(a="deep", c="tanh", b="relu")
    keys = {space.identity(arch(a="plain", c=c, b="relu")) for c in space.decisions["c"]}
    assert len(keys) == 1


def test_sampling_is_uniform_over_valid_architectures() -> None:
    space = SearchSpace(nested(), Grammar(valid=lambda arch: arch["c"] != "one"))
    drawn = Counter(space.sample(source) for source in [generator()] for _ in range(4000))
    assert len(drawn) == 10  # c = one is excluded with a = deep; with a = plain it decides nothing
    assert all(abs(times - 400) < 5 * 400**0.5 for times in drawn.values())
    assert space.sample(generator(3)) == space.sample(generator(3))


def test_a_space_without_valid_architectures_gives_up() -> None:
    space, only = SearchSpace(nested(), Grammar(valid=lambda arch: False)), arch(a="deep", c="one", b="relu")
    with pytest.raises(ArchitectureError, match="no valid architecture in 1000 draws"):
        space.sample(generator())
    with pytest.raises(ArchitectureError, match="crossover of the invalid architecture"):
        space.crossover(only, only, generator())


def test_mutation_changes_one_decision_or_more_and_always_the_network() -> None:
    space, source = SearchSpace(nested()), generator()
    start = arch(a="plain", c="one", b="relu")
    near = Counter(space.mutate(start, source) for _ in range(300))
    # Changes of c alone change nothing, since a = plain leaves c out.
    assert near.keys() == {arch(a="deep", c="one", b="relu"), arch(a="plain", c="one", b="conv")}
    far = [space.mutate(start, source, rate=1.0) for _ in range(50)]
    assert all(all(child[key] != start[key] for key in start) for child in far)


def test_mutation_gives_up_where_there_is_nothing_else() -> None:
    with pytest.raises(ArchitectureError, match=r"no other valid network near \{\"a\": \"x\"\}"):
        SearchSpace(Choice("a", {"x": conv(1)})).mutate(arch(a="x"), generator())


def test_crossover_gives_up_where_only_its_parents_are_valid() -> None:
    keys = [f"k{place}" for place in range(60)]
    network = nn.Sequential(*(Choice(key, {"x": nn.Tanh(), "y": nn.ReLU()}) for key in keys))
    space = SearchSpace(network, Grammar(valid=lambda arch: len({option for _, option in arch.choices}) == 1))
    a, b = (Architecture.of(dict.fromkeys(keys, option)) for option in "xy")
    with pytest.raises(ArchitectureError, match="no valid architecture in 1000 crossovers"):
        space.crossover(a, b, generator())


def test_crossover_takes_each_decision_from_a_parent() -> None:
    space, source = SearchSpace(nested()), generator()
    a, b = arch(a="plain", c="one", b="relu"), arch(a="deep", c="one", b="conv")
    children = Counter(space.crossover(a, b, source) for _ in range(400))
    assert len(children) == 4
    assert all(child["c"] == "one" for child in children)
    assert min(children.values()) > 50


def test_neighbours_are_valid_and_one_decision_away() -> None:
    space = SearchSpace(nested(), Grammar(valid=lambda arch: arch["b"] != "conv"))
    assert space.neighbours(arch(a="deep", c="one", b="relu")) == [
        arch(a="plain", c="one", b="relu"),
        arch(a="deep", c="three", b="relu"),
        arch(a="deep", c="tanh", b="relu"),
    ]


def test_what_a_grammar_leaves_out_decides_nothing_inside_either() -> None:
    def simplify(arch: Architecture) -> Architecture:
        return arch.replace("a", "plain") if arch["b"] == "relu" else arch

    space = SearchSpace(nested(), Grammar(simplify=simplify))
    keys = {space.identity(arch(a="deep", c=c, b="relu")) for c in space.decisions["c"]}
    assert keys == {space.identity(arch(a="plain", c="one", b="relu"))}
    simple = space.simplify(arch(a="deep", c="tanh", b="relu"))
    assert simple == space.simplify(simple) == arch(a="plain", c="three", b="relu")


def test_a_copy_is_a_space_of_its_own() -> None:
    space = SearchSpace(nested(), Grammar(valid=lambda arch: arch["b"] != "conv"))
    chosen = arch(a="deep", c="one", b="relu")
    other = copy.deepcopy(space)
    assert other.decisions == space.decisions
    assert not other.valid(chosen.replace("b", "conv"))
    assert not {p.data_ptr() for p in other.network.parameters()} & {p.data_ptr() for p in space.network.parameters()}
    x = torch.randn(1, 3, 4, 4)
    with other.activate(chosen), space.activate(chosen.replace("a", "plain")):
        assert torch.equal(other.network(x), space.derive(chosen)(x))


def test_a_mode_that_lacks_a_decision_leaves_nothing_behind() -> None:
    space = SearchSpace(nested())
    with pytest.raises(KeyError), space.running({"a": "plain"}):
        pass
    assert {module.active for module in space.network.modules() if isinstance(module, Choice)} == {None}


def test_modes_nest_and_are_put_back_even_after_an_error() -> None:
    space = SearchSpace(nested())
    outer, inner = arch(a="deep", c="one", b="relu"), arch(a="plain", c="three", b="conv")
    x = torch.randn(1, 3, 4, 4)
    with space.activate(outer):
        expected = space.network(x)
        with pytest.raises(ZeroDivisionError), space.activate(inner):
            raise ZeroDivisionError
        with space.mix({key: torch.ones(len(names)) for key, names in space.decisions.items()}):
            assert not torch.equal(space.network(x), expected)
        assert torch.equal(space.network(x), expected)
    with pytest.raises(ArchitectureError, match="nothing active"):
        space.network(x)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": torch.ones(2)}, "weights for a: expected all of a, c, b"),
        ({"a": torch.ones(2), "c": torch.ones(2), "b": torch.ones(2)}, r"'c' have shape \(2,\): expected \(3,\)"),
    ],
)
def test_wrong_mixture_weights_are_refused(weights: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        SearchSpace(nested()).mix(weights)


def test_a_derived_network_shares_nothing_with_the_supernet() -> None:
    space = SearchSpace(nested())
    network = space.derive(arch(a="deep", c="one", b="relu"))
    assert not any(isinstance(module, Choice) for module in network.modules())
    storages = {p.data_ptr() for p in space.network.parameters()}
    assert not any(p.data_ptr() in storages for p in network.parameters())
    assert [name for name, _ in network.named_parameters()] == [
        "0.0.weight",
        "0.0.bias",
        "0.1.weight",
        "0.1.bias",
        "3.2.weight",
        "3.2.bias",
    ]


def test_derive_with_new_weights_is_trainable_and_depends_on_the_generator_alone() -> None:
    space, chosen = SearchSpace(nested()), arch(a="deep", c="one", b="conv")
    space.network.eval().requires_grad_(False)
    first, again, other = (space.derive(chosen, generator=generator(s)) for s in (1, 1, 2))
    assert first.training
    assert all(p.requires_grad for p in first.parameters())
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters(), strict=True))
    kept = space.derive(chosen)
    assert not kept.training
    assert not any(p.requires_grad for p in kept.parameters())


def test_costs_by_hand() -> None:
    space = SearchSpace(nested())
    one, three, head = Cost(12, 16 * 3 * 4, 48), Cost(84, 16 * 3 * 28, 48), Cost(8, 8, 2)
    assert space.cost(arch(a="plain", c="one", b="relu"), 4) == head
    assert space.cost(arch(a="plain", c="one", b="conv"), 4) == head + one + one
    assert space.cost(arch(a="deep", c="one", b="relu"), 4) == head + three + one
    assert space.cost(arch(a="deep", c="three", b="conv"), 4) == head + three + three + one + one


def test_cost_follows_a_replaced_head() -> None:
    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.choice = Choice("a", {"x": conv(1), "y": conv(3)})
            self.head: nn.Module = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.head(self.choice(x).mean((2, 3))))

    space = SearchSpace(WithHead())
    before = space.cost(arch(a="x"), 4)
    space.network.head = nn.Linear(3, 12)
    after = space.cost(arch(a="x"), 4)
    assert after == count(space.derive(arch(a="x")), 4) == before + Cost(40, 40, 10)


def test_tables_are_kept_for_the_current_head_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    of = CostTable.of

    def counted(supernet: nn.Module, image_size: int) -> CostTable | None:
        built.append(image_size)
        return of(supernet, image_size)

    monkeypatch.setattr(CostTable, "of", counted)
    network = nn.Sequential()
    network.add_module("body", Choice("a", {"x": conv(1), "y": conv(3)}))
    network.add_module("head", nn.Conv2d(3, 2, 1))
    space = SearchSpace(network)
    for size in [*range(1, 41), *range(1, 41)]:
        space.cost(arch(a="x"), size)
    assert built == list(range(1, 41))
    network.add_module("head", nn.Conv2d(3, 4, 1))
    for _ in range(2):
        assert space.cost(arch(a="x"), 2) == count(space.derive(arch(a="x")), 2)
    assert built == [*range(1, 41), 2]


def test_costs_where_few_architectures_are_valid() -> None:
    keys = [f"k{place}" for place in range(60)]
    network = nn.Sequential(conv(1), *(Choice(key, {"x": nn.Tanh(), "y": nn.ReLU()}) for key in keys))
    space = SearchSpace(network, Grammar(valid=lambda arch: len({option for _, option in arch.choices}) == 1))
    only = Architecture.of(dict.fromkeys(keys, "x"))
    assert space.cost(only, 4, named=True) == Cost(12, 192, 48)


def all_of(space: SearchSpace[nn.Module]) -> list[Architecture]:
    return [
        Architecture(tuple(zip(space.decisions, options, strict=True)))
        for options in itertools.product(*space.decisions.values())
    ]


def shared_by_two_choices() -> nn.Module:
    """Two of ten options each: few probes have one and not the other."""
    shared, names = conv(3), "0123456789"
    choices = [Choice(key, {name: shared if name == "7" else nn.Tanh() for name in names}) for key in "ab"]
    return nn.Sequential(conv(1), *choices)


def sizes_that_broadcast() -> nn.Module:
    """Of ten options each one pools, and one makes it as large again: few probes have one and not the other."""
    names = "0123456789"
    first = {name: nn.AdaptiveAvgPool2d(1) if name == "7" else nn.Tanh() for name in names}
    second = {name: nn.AdaptiveAvgPool2d(4) if name == "7" else nn.Tanh() for name in names}
    return nn.Sequential(conv(1), Choice("a", first), Choice("b", second), conv(3))


@pytest.mark.parametrize("build", [shared_by_two_choices, sizes_that_broadcast])
def test_costs_of_decisions_that_interact_are_counted(build: Callable[[], nn.Module]) -> None:
    space = SearchSpace(build())
    for each in all_of(space):
        assert space.cost(each, 4) == count(space.derive(each), 4), each


def test_a_layer_with_two_names_under_the_same_conditions_adds_up() -> None:
    shared = conv(3)
    space = SearchSpace(nn.Sequential(Choice("a", {"x": nn.Sequential(shared, nn.ReLU(), shared), "y": conv(1)})))
    assert space.cost(arch(a="x"), 4, named=True) == Cost(84, 2 * 16 * 3 * 28, 2 * 48)


def test_costs_that_do_not_add_up_are_counted() -> None:
    """What follows a stride costs less, so the options' costs depend on each other."""
    strided = Choice("a", {"keep": nn.Conv2d(3, 3, 1), "halve": nn.Conv2d(3, 3, 1, stride=2)})
    space = SearchSpace(nn.Sequential(strided, Choice("b", {"one": conv(1), "three": conv(3)})))
    for a in ("keep", "halve"):
        for b in ("one", "three"):
            assert space.cost(arch(a=a, b=b), 4) == count(space.derive(arch(a=a, b=b)), 4)
    with pytest.raises(ArchitectureError, match="do not add up: expected named=False"):
        space.cost(arch(a="keep", b="one"), 4, named=True)


def test_a_layer_shared_by_two_options_is_counted_not_added() -> None:
    shared = conv(1)
    space = SearchSpace(nn.Sequential(Choice("a", {"x": shared, "y": nn.Sequential(shared, nn.ReLU())}), conv(1)))
    assert space.cost(arch(a="x"), 4) == space.cost(arch(a="y"), 4) == Cost(24, 2 * 16 * 12, 2 * 48)


def paired() -> SearchSpace[nn.Module]:
    """Three choices of which the first and the last are drawn together: both tanh, or one of them relu."""

    def choice(key: str) -> Choice:
        return Choice(key, {"tanh": nn.Tanh(), "relu": nn.ReLU(), "skip": nn.Identity()})

    group = Group(("a", "c"), (("tanh", "tanh"), ("relu", "skip"), ("skip", "relu")))
    return SearchSpace(nn.Sequential(conv(1), choice("a"), choice("b"), choice("c")), Grammar(groups=(group,)))


def test_grouped_decisions_are_drawn_changed_and_inherited_together() -> None:
    space, source = paired(), generator()
    pairs = {("tanh", "tanh"), ("relu", "skip"), ("skip", "relu")}
    assert space.size == 9
    drawn = Counter(space.sample(source) for _ in range(900))
    assert len(drawn) == 9
    assert all(abs(times - 100) < 50 for times in drawn.values())
    start, other = arch(a="tanh", b="tanh", c="tanh"), arch(a="relu", b="skip", c="skip")
    near = Counter(space.mutate(start, source) for _ in range(200))
    assert near.keys() == {
        *(arch(a=a, b="tanh", c=c) for a, c in pairs - {("tanh", "tanh")}),
        *(arch(a="tanh", b=b, c="tanh") for b in ("relu", "skip")),
    }
    assert set(space.neighbours(start)) == near.keys()
    children = {space.crossover(start, other, source) for _ in range(100)}
    assert {(child["a"], child["c"]) for child in children} == {("tanh", "tanh"), ("relu", "skip")}
    assert len(children) == 4


def test_an_architecture_outside_of_the_groups_is_a_member_and_can_be_changed() -> None:
    space, outside = paired(), arch(a="skip", b="relu", c="skip")
    assert space.from_text(space.to_text(outside)) == outside
    assert space.cost(outside, 4) == Cost(12, 192, 48)
    assert len(space.neighbours(outside)) == 5
    assert space.mutate(outside, generator()) in space.neighbours(outside)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((Group(("a", "z"), (("x", "x"),)),), "group of a, z: expected decisions that no other group has"),
        ((Group(("a",), (("x",),)), Group(("a",), (("x",),))), "group of a: expected decisions that no other group"),
        ((Group(("a",), (("w",),)),), "group of a: expected options that 'a' has"),
        ((Group(("a",), ()),), "group of a: expected one or more joint options of 1 each"),
        ((Group(("a",), (("x", "x"),)),), "group of a: expected one or more joint options of 1 each"),
        ((Group(("a",), ((),)),), "group of a: expected one or more joint options of 1 each"),
        ((Group(("a",), (("x",), ("x",))),), "group of a: expected joint options that all differ"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups: tuple[Group, ...], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        SearchSpace(Choice("a", {"x": conv(1)}), Grammar(groups=groups))


def test_costs_add_up_under_each_option_of_a_decision_that_sets_sizes() -> None:
    class Resized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.size: Number = Dimension("size", {"4": 4, "6": 6})
            self.body = nn.Sequential(Choice("a", {"one": conv(1), "three": conv(3)}), conv(1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.body(nn.functional.adaptive_avg_pool2d(x, current(self.size))))

    space = SearchSpace(Resized(), Grammar(sizing=("size",)))
    for size in (4, 6):
        pixels = size * size
        expected = Cost(84 + 12, pixels * 3 * (28 + 4), 2 * 3 * pixels)
        chosen = arch(a="three", size=str(size))
        assert space.cost(chosen, 8) == space.cost(chosen, 8, named=True) == expected
        assert count(space.derive(chosen), 8) == expected

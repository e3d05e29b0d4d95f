from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import ConfigError
from tailornas.metrics import GroupConfig, shot_groups, tercile_groups
from tailornas.types import ClassCounts


def test_shot_groups_by_the_usual_thresholds() -> None:
    counts = ClassCounts((101, 100, 20, 19, 500))
    assert shot_groups(counts) == {"many": (0, 4), "medium": (1, 2), "few": (3,)}
    assert shot_groups(counts, many=50, few=50) == {"many": (0, 1, 4), "few": (2, 3)}
    assert shot_groups(ClassCounts((5, 5))) == {"few": (0, 1)}


@pytest.mark.parametrize(("many", "few"), [(20, 100), (10, -1)])
def test_thresholds_out_of_order(many: int, few: int) -> None:
    with pytest.raises(ConfigError, match=f"out of order: .* got few {few}, many {many}"):
        shot_groups(ClassCounts((1, 2)), many, few)


def test_terciles() -> None:
    assert tercile_groups(ClassCounts((1, 9, 5, 7))) == {"many": (1, 3), "medium": (2,), "few": (0,)}
    assert tercile_groups(ClassCounts((8, 4))) == {"many": (0,), "few": (1,)}


def test_terciles_keep_equal_classes_together() -> None:
    assert tercile_groups(ClassCounts((5000,) * 5 + (50,) * 5)) == {"many": (0, 1, 2, 3, 4), "few": (5, 6, 7, 8, 9)}
    assert tercile_groups(ClassCounts((9, 5, 5, 5, 5, 1))) == {"many": (0,), "medium": (1, 2, 3, 4), "few": (5,)}
    assert tercile_groups(ClassCounts((9, 5, 5, 5))) == {"many": (0,), "few": (1, 2, 3)}
    assert tercile_groups(ClassCounts((9, 9, 9, 9, 9, 5))) == {"many": (0, 1, 2, 3, 4), "few": (5,)}
    for classes in (1, 2, 3, 10):
        assert tercile_groups(ClassCounts((4,) * classes)) == {"medium": tuple(range(classes))}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=40))
def test_groups_divide_the_classes(numbers: list[int]) -> None:
    counts = ClassCounts(tuple(numbers))
    for groups in (shot_groups(counts), tercile_groups(counts)):
        assert sorted(label for labels in groups.values() for label in labels) == list(range(len(counts)))
        ranges = [[counts[label] for label in labels] for labels in groups.values()]
        assert all(min(bigger) >= max(smaller) for bigger, smaller in pairwise(ranges))
        assert len({count for values in ranges for count in set(values)}) == sum(len(set(values)) for values in ranges)
    if len(set(numbers)) == len(numbers):
        sizes = [len(labels) for labels in tercile_groups(counts).values()]
        assert max(sizes) - min(sizes) <= 1


def test_the_long_tailed_cifar10_has_no_few_shot_class() -> None:
    counts = ClassCounts((5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50))
    assert {name: len(labels) for name, labels in shot_groups(counts).items()} == {"many": 8, "medium": 2}
    assert {name: len(labels) for name, labels in tercile_groups(counts).items()} == {"many": 4, "medium": 3, "few": 3}


def test_a_config_says_how_to_group() -> None:
    counts = ClassCounts((150, 60, 30, 8))
    assert GroupConfig().groups(counts) == shot_groups(counts)
    assert GroupConfig(many=50, few=10).groups(counts) == {"many": (0, 1), "medium": (2,), "few": (3,)}
    assert GroupConfig(by="terciles").groups(counts) == tercile_groups(counts)


def test_a_config_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"out of order: .* got few 120, many 100"):
        GroupConfig(few=120)
    with pytest.raises(ConfigError, match="many has no effect with groups by 'terciles': leave it out"):
        GroupConfig(by="terciles", many=50)
    with pytest.raises(ConfigError, match=r"expected 0 <= few <= many, got few -1, many 100: set both"):
        GroupConfig(few=-1)

import re
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ConfigDict

from tailornas.errors import ConfigError, TailorNASError
from tailornas.spaces import (
    SPACES,
    ElasticResNetConfig,
    NASBench201Config,
    SpaceSection,
    build_space,
    identify,
    space_config,
)


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    space: SpaceSection = NASBench201Config()


@pytest.mark.parametrize("name", SPACES)
def test_a_section_is_written_and_read_again(name: str) -> None:
    config = Config.model_validate({"space": {"name": name}})
    assert config.space == SPACES[name](name=name)
    values = config.model_dump(mode="json")
    assert values["space"]["name"] == name
    assert values["space"].keys() == SPACES[name].model_fields.keys()
    assert Config.model_validate(values) == config


@pytest.mark.parametrize("name", SPACES)
def test_every_space_and_every_parameter_says_what_it_is(name: str) -> None:
    assert (SPACES[name].__doc__ or "").strip()
    assert all(field.description for key, field in SPACES[name].model_fields.items() if key != "name")


def test_a_section_takes_the_parameters_of_its_space() -> None:
    config = Config.model_validate({"space": {"name": "nasbench201", "channels": "4", "cells_per_stage": 2}})
    assert config.space == NASBench201Config(channels=4, cells_per_stage=2)
    assert identify(config.space) == {"name": "nasbench201", "channels": 4, "cells_per_stage": 2}


def test_a_section_without_a_name_is_of_the_elastic_resnet() -> None:
    assert Config.model_validate({"space": {"channels": 8}}).space == ElasticResNetConfig(channels=8)


def test_the_section_of_a_users_space_keeps_its_settings() -> None:
    section = {"name": "my_space.py:Net", "width": 8, "relu": True}
    config = Config.model_validate({"space": section})
    assert config.model_dump(mode="json") == {"space": section}
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_build_uses_settings_and_classes() -> None:
    space = build_space(NASBench201Config(channels=2, cells_per_stage=2), 3, torch.Generator().manual_seed(0))
    assert space.network.feature_dim == 8
    assert space.network.head.out_features == 3
    assert len(list(space.network.get_submodule("cells").children())) == 8


@pytest.mark.parametrize(
    ("section", "pattern"),
    [
        ({"name": "dart"}, r"unknown space 'dart': expected one of FILE\.py:Class, .*nasbench201.*"),
        ({"name": 3}, r"space\.name: expected the name of a space, got 3"),
        (
            {"name": "nasbench201", "cells": 3},
            r"space 'nasbench201' has no parameter 'cells': its parameters are channels, cells_per_stage",
        ),
        ({"name": "nats-size", "channels": 3}, r"space 'nats-size' has no parameter 'channels': it has none"),
        ({"name": "nasbench201", "channels": 0}, r"space\.channels: input should be greater than or equal to 1, got 0"),
        (
            {"name": "nasbench201", "channels": "many"},
            r"space\.channels: input should be a valid integer, .*, got 'many'",
        ),
    ],
)
def test_a_mistake_is_one_line(section: dict[str, Any], pattern: str) -> None:
    with pytest.raises(TailorNASError) as caught:
        Config.model_validate({"space": section})
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_settings_by_name() -> None:
    assert space_config("nasbench201", {"channels": 3}) == NASBench201Config(channels=3)
    with pytest.raises(ConfigError, match="has no parameter 'depth'"):
        space_config("nasbench201", {"depth": 3})

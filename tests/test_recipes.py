from pathlib import Path

import pytest

from tailornas.config import RunConfig, read_config

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.stem))
def test_a_recipe_is_a_configuration_that_changes_something(recipe: Path) -> None:
    assert read_config(RunConfig, recipe) != RunConfig()


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 2

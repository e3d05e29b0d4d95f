"""``tailornas config``: every key is there, and the file means what the command does by default."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from support.shell import Shell
from tailornas.config import RunConfig, StandaloneConfig, read_config, to_toml
from tailornas.data import SAMPLERS
from tailornas.heads import HEADS
from tailornas.losses import LOSSES, WEIGHTING_FORMS

CONFIGS: dict[str, type[BaseModel]] = {"run": RunConfig, "train": StandaloneConfig}


@pytest.mark.parametrize("command", CONFIGS)
def test_the_file_is_the_default_configuration(shell: Shell, tmp_path: Path, command: str) -> None:
    model = CONFIGS[command]
    assert shell("config", command) == 0
    assert tomllib.loads(shell.out) == tomllib.loads(to_toml(model()))
    (tmp_path / "all.toml").write_text(shell.out)
    assert read_config(model, tmp_path / "all.toml") == model()
    # Of a section that is commented out, "none" is a name.
    none = r'^# (\w+ = "none")$(?<!name = "none")'
    (tmp_path / "none.toml").write_text(re.sub(none, r"\1", shell.out, flags=re.MULTILINE))
    assert (tmp_path / "none.toml").read_text() != shell.out
    assert read_config(model, tmp_path / "none.toml") == model()


@pytest.mark.parametrize("command", CONFIGS)
def test_every_key_is_there_with_its_meaning(shell: Shell, command: str) -> None:
    assert shell("config", command) == 0
    lines = shell.out.splitlines()

    def check(config: BaseModel, path: str) -> None:
        begin = lines.index(f"[{path}]") if path else 0
        for name, field in type(config).model_fields.items():
            value = getattr(config, name)
            if isinstance(value, BaseModel):
                check(value, f"{path}.{name}".strip("."))
                continue
            if f"# [{path}.{name}]" in lines:  # a section that there need not be
                at = lines.index(f"# [{path}.{name}]")
                assert f"# {field.description} (section or none)" == lines[at - 1]
                continue
            at = next(
                n for n, line in enumerate(lines[begin:], begin) if line.removeprefix("# ").startswith(f"{name} =")
            )
            empty = max(n for n, line in enumerate(lines[:at]) if line in ("", "#"))
            meaning = " ".join(line.removeprefix("#").strip() for line in lines[empty + 1 : at])
            assert re.fullmatch(rf"{re.escape(field.description or '')} ?\(.+\)", meaning), name

    check(CONFIGS[command](), "")


@pytest.mark.parametrize("command", CONFIGS)
def test_every_name_that_a_key_takes_is_there_and_what_each_loss_can_be_set_to(shell: Shell, command: str) -> None:
    assert shell("config", command) == 0
    text = re.sub(r"\n#   ", " ", shell.out)
    for names in (LOSSES, SAMPLERS, HEADS, WEIGHTING_FORMS):
        assert ", ".join(names) in text
    for name, loss in LOSSES.items():
        for key, field in loss.Settings.model_fields.items():
            assert re.search(rf"\b{name} [^|]*\b{key} = \S+ \({re.escape(field.description or '')}\)", text), (
                name,
                key,
            )
    assert "shape = concave (concave, linear or convex growth with the count)" in text


def test_types_and_values_that_are_none(shell: Shell) -> None:
    assert shell("config", "run") == 0
    for text in (
        '\n# first weights of the found network: new ones, or the adapted supernet\'s ("scratch" or "inherit")\n'
        'init = "scratch"\n',
        '\n# multiply-accumulates of one image (integer or none)\n# macs = "none"\n',
        "\nmilestones = [0.8, 0.9]\n",
        "\n# [train.schedule]\n",
        "\n# start = 0.8\n",
    ):
        assert text in shell.out

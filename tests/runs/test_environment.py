import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import tailornas
from tailornas.runs import environment
from tailornas.runs.environment import commit, processor


def test_the_environment_is_json_with_the_installed_versions() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["tailornas"] == tailornas.__version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["torchvision"] == version("torchvision")
    for package in ("timm", "pillow", "optuna"):
        assert found[package] == version(package)
    assert found["cores"] == os.cpu_count()
    assert found["threads"] == torch.get_num_threads()
    assert found["memory_gib"] > 0
    assert found["processor"]
    assert ("avx2" in found["capabilities"]) == bool(torch.cpu.get_capabilities().get("avx2"))


def test_a_processor_without_cpuinfo_has_the_name_of_its_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, encoding: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", missing)
    assert processor() == (platform.processor() or platform.machine())


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/module.py").write_text("a = 1\n")
    git(tmp_path, "init")
    return tmp_path


def test_the_commit_of_a_checkout(checkout: Path) -> None:
    module = checkout / "package/module.py"
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "first")
    git(checkout, "tag", "v1")
    clean = commit(module)
    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean)
    module.write_text("a = 2\n")
    assert commit(module) == f"{clean}-dirty"


def test_a_package_installed_inside_another_checkout_has_no_commit(checkout: Path) -> None:
    (checkout / "own.py").write_text("")
    git(checkout, "add", "own.py")
    git(checkout, "commit", "-m", "first")
    assert commit(checkout / "package/module.py") is None


def test_no_checkout_and_no_git_are_no_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit(tmp_path / "module.py") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(Path(__file__)) is None

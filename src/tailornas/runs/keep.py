"""A run folder whose name the user did not give: nothing that is finished there, or at work, is replaced."""

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailornas.errors import RunFolderError
from tailornas.runs.files import read_state, read_toml
from tailornas.runs.fingerprint import differences
from tailornas.runs.record import CONFIG, STAGES
from tailornas.runs.results import RESULT, changed, read_result
from tailornas.runs.stage import CHECKPOINT

__all__ = ["keep_configuration", "keep_stage"]


def keep_configuration(folder: Path, config: str) -> None:
    """Refuses a run folder with a result or a checkpoint of another configuration.

    Args:
        folder: the run folder.
        config: the configuration of this start, as TOML.

    Raises:
        RunFolderError: says which keys differ.
    """
    left = [*folder.glob(f"{STAGES}/*/{RESULT}"), *folder.glob(f"{STAGES}/*/{CHECKPOINT}")]
    if left and (folder / CONFIG).exists():
        which = differences(read_toml(folder / CONFIG), tomllib.loads(config))
        if which:
            raise _kept(folder, f"its configuration changed ({which})")


def keep_stage(folder: Path, name: str, fingerprint: str, inputs: Mapping[str, Any], until: float | None) -> None:
    """Refuses a run folder where a stage has a result, or a checkpoint of hours, that does not hold.

    Args:
        folder: the run folder.
        name: the stage.
        fingerprint: of its inputs now.
        inputs: these inputs, as JSON values.
        until: when the stage's time is up now; None: never.

    Raises:
        RunFolderError: says why it does not hold.
    """
    stage = folder / STAGES / name
    there = read_result(stage)
    if there is None and (stage / CHECKPOINT).exists():
        there = read_state(stage / CHECKPOINT)
    if there is not None and (reason := changed(there, fingerprint, inputs, until)):
        raise _kept(folder, f"{name}: {reason}")


def _kept(folder: Path, reason: str) -> RunFolderError:
    return RunFolderError(
        f"{folder} holds another run: {reason}: give --out DIR to keep it, or --out {shlex.quote(str(folder))} to "
        "replace there what changed"
    )

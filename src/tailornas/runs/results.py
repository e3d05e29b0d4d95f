"""What a finished stage leaves, and whether it still holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailornas.errors import RunFolderError
from tailornas.runs.files import read_json, read_tensors, write_json, write_tensors
from tailornas.runs.fingerprint import differences
from tailornas.stages import Artifact

__all__ = ["RESULT", "changed", "read_artifact", "read_result", "write_result"]

RESULT = "result.json"
TENSORS = "result.safetensors"


def changed(there: Mapping[str, Any], fingerprint: str, inputs: Mapping[str, Any], until: float | None) -> str | None:
    """Why a result or a checkpoint does not hold; None where it does.

    Work that the time limit cut short holds where the time is up no later: given longer it would be other work.

    Args:
        there: its ``fingerprint``, ``inputs`` and ``until``; the last two are missing where an early version wrote it.
        fingerprint: of the stage's inputs now.
        inputs: these inputs, as JSON values.
        until: when the stage's time is up now; None: never.

    Returns:
        A clause about the stage, such as ``its inputs changed (epochs 1 -> 2)``.
    """
    if there["fingerprint"] != fingerprint:
        which = differences(there.get("inputs", {}), inputs)
        return f"its inputs changed ({which})" if which else "this version of the program gives other results"
    ended = there.get("until")
    if ended is not None and (until is None or until > ended):
        return "a time limit cut it short"
    return None


def read_result(folder: Path) -> dict[str, Any] | None:
    """What :func:`write_result` wrote beside tensors; None where a stage has no result.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder / RESULT
    return dict(read_json(path)) if path.exists() else None


def read_artifact(folder: Path) -> Artifact | None:
    """The artifact that :func:`write_result` wrote; None where a stage has no result.

    Raises:
        RunFolderError: a file of the stage is damaged.
    """
    result = read_result(folder)
    if result is None:
        return None
    path = folder / TENSORS
    tensors = read_tensors(path) if result["tensors"] else {}
    if sorted(tensors) != sorted(result["tensors"]):
        raise RunFolderError(f"{path} is of another result: delete {folder} to compute anew what it holds")
    return Artifact(result["values"], {tensor: tensors[tensor] for tensor in result["tensors"]})


def write_result(folder: Path, artifact: Artifact, **made: Any) -> None:
    """Writes the result of a stage, ``result.json`` last.

    Args:
        folder: the stage's folder.
        artifact: what the stage has left.
        made: JSON values of how it was made: ``fingerprint``, ``inputs``, ``until``, ``environment``, ``notes``.

    Raises:
        DiskError: it could not be written.
    """
    if artifact.tensors:
        write_tensors(folder / TENSORS, artifact.tensors)
    write_json(folder / RESULT, {**made, "values": artifact.values, "tensors": list(artifact.tensors)})

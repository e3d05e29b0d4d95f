"""A method of three short stages, run by test_resume.py in processes that may be killed.

This process imports torch once, then forks a child for every JSON line on standard input, so that a start takes
milliseconds. It has no threads and never computes anything itself: a fork of it is like a new process.
"""

import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tailornas.errors import TailorNASError
from tailornas.runs import PlainConsole, RunFolder
from tailornas.seeding import generator
from tailornas.stages import Artifact, Stage

OPERATIONS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}


def fit(stage: Stage, seed: int, epochs: int, size: int) -> Artifact:
    """A small convolution fitted by SGD with momentum; saves and logs every epoch.

    Without torch.optim: its first optimizer imports the compiler, which would take each child two seconds.
    """
    model = nn.Sequential(nn.Conv2d(3, size, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(size, 2))
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator(seed, "init", index)))
    model.to(memory_format=torch.channels_last)
    weights = list(model.parameters())
    velocities = [torch.zeros_like(weight) for weight in weights]
    first, loss = 0, torch.zeros(())
    if (state := stage.restore()) is not None:
        model.load_state_dict(state["model"])
        first, loss, velocities = state["epoch"], state["loss"], state["velocities"]
    for epoch in range(first, epochs):
        images = torch.randn(4, 3, 6, 6, generator=generator(seed, "images", epoch))
        loss = nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 0, 1]))
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
                weight.sub_(velocity.mul_(0.9).add_(gradient), alpha=0.05)
        stage.log(epoch=epoch, loss=loss.item())
        stage.save(
            {
                "model": model.state_dict(),
                "velocities": velocities,
                "epoch": epoch + 1,
                "loss": loss.detach(),
            }
        )
        stage.progress(epoch + 1, epochs, "epochs")
    return Artifact({"loss": loss.item(), "shape": (3, size)}, model.state_dict())


def search(stage: Stage, seed: int, candidates: int, weights: Tensor) -> Artifact:
    """Scores candidates with weights of the first stage; logs each, saves every fourth one."""
    scores: list[float] = (stage.restore() or {"scores": []})["scores"]
    for number in range(len(scores), candidates):
        direction = torch.randn(weights.shape, generator=generator(seed, "candidate", number))
        scores = [*scores, (weights * direction).sum().item()]
        stage.log(candidate=number, score=scores[-1])
        if number % 4 == 3:
            stage.save({"scores": scores})
    return Artifact({"scores": scores})


def method(run: RunFolder, seed: int = 0, epochs: int = 2, candidates: int = 6, size: int = 4) -> None:
    """The three stages; each depends on what it is computed from."""
    first = {"seed": seed, "epochs": epochs, "size": size}
    supernet = run.stage("pretrain", first, lambda stage: fit(stage, seed, epochs, size))
    second = {"pretrain": first, "candidates": candidates}
    found = run.stage("search", second, lambda stage: search(stage, seed, candidates, supernet.tensors["0.weight"]))
    winner = max(range(candidates), key=lambda number: found.values["scores"][number])
    run.stage("train", {"search": second, "winner": winner}, lambda stage: fit(stage, winner, epochs, 2 * size))


def signal_at(number: int, number_of_signal: int, folder: str) -> None:
    """Sends this process a signal before its file operation ``number`` in ``folder``."""
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in OPERATIONS and str(arguments[0]).startswith(folder):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), number_of_signal)

    sys.addaudithook(count)


def child(command: dict[str, Any]) -> int:
    """Runs the method; returns the exit code and writes an error to the folder's neighbour ``<name>.error``."""
    torch.set_num_threads(1)
    folder = Path(command["folder"])
    if "kill_at" in command:
        signal_at(command["kill_at"], signal.SIGKILL, command["folder"])
    if "terminate_at" in command:
        signal_at(command["terminate_at"], signal.SIGTERM, command["folder"])
    if "file_bytes" in command:
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["file_bytes"], command["file_bytes"]))
    try:
        with RunFolder.open(folder, "seed = 0\n", PlainConsole({}, sys.stderr, quiet=True)) as run:
            if command.get("hold"):
                if worker := os.fork():
                    run.write("worker", str(worker))
                time.sleep(600)
            method(run, **command.get("method", {}))
    except TailorNASError as error:
        folder.with_suffix(".error").write_text(f"{type(error).__name__}: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def main() -> None:
    """Answers every line with the child's process id, or with how it ended if the line does not say ``start``."""
    # The environment is not at stake here, and asking for it takes longer than a whole run.
    mock.patch("tailornas.runs.folder.environment", dict).start()
    for line in sys.stdin:
        command = json.loads(line)
        answer = command.get("wait") or os.fork()
        if not answer:
            code = 1
            try:
                code = child(command)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        if not command.get("start"):
            answer = os.waitstatus_to_exitcode(os.waitpid(answer, 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Runs the command in forked processes that may be interrupted or killed; see processes.py.

This process imports everything once, then forks a child for every JSON line on standard input, so that a start takes
no time. It has no threads and never computes anything itself: a fork of it is like a new process.
"""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401  imported late by what reads digits

import tailornas.pipeline  # noqa: F401  imported late by the command
from tailornas.cli import main


def child(command: dict[str, Any]) -> None:
    """Becomes the command, with standard output and error in files of the working folder."""
    os.chdir(command["folder"])
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        with Path(name).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.argv = ["tailornas", *command["arguments"]]
    main()


def answer(command: dict[str, Any]) -> int | None:
    """The child's process id; or how a child ended: its exit code, the negative signal, or None while it runs."""
    if "wait" in command:
        process, status = os.waitpid(command["wait"], 0 if command["block"] else os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if process else None
    if process := os.fork():
        return process
    code = 1
    try:
        child(command)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(answer(json.loads(line)))}\n")
        sys.stdout.flush()

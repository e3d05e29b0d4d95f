"""Printing that does not end what prints."""

import os
import sys
from typing import TextIO

__all__ = ["print_line", "silence"]


def print_line(file: TextIO, text: str) -> None:
    """Prints at once; where that fails, says so on standard error, and what is printed to ``file`` later goes nowhere.

    A reader that is gone (``| head``), or a full disk, is no reason to end a run, whose folder holds everything.
    """
    try:
        file.write(f"{text.rstrip()}\n")
        file.flush()
    except OSError as error:
        silence(file)
        try:
            sys.stderr.write(f"cannot print: {error.strerror}; the work goes on\n")
            sys.stderr.flush()
        except OSError:
            silence(sys.stderr)


def silence(file: TextIO) -> None:
    """Sends what is printed later nowhere: by the descriptor, so that what Python flushes as it exits succeeds too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)

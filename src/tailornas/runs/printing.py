"""Printing that does not end what prints."""

import os
import sys
from typing import TextIO

__all__ = ["print_line"]


def print_line(file: TextIO, text: str) -> None:
    """Prints at once; where that fails, says so on standard error, and what is printed to ``file`` later goes nowhere.

    A reader that is gone (``| head``), or a full disk, is no reason to end a run, whose folder holds everything.
    """
    try:
        file.write(f"{text.rstrip()}\n")
        file.flush()
    except OSError as error:
        _silence(file)
        try:
            sys.stderr.write(f"cannot print: {error.strerror}; the run goes on, its folder holds everything\n")
            sys.stderr.flush()
        except OSError:
            _silence(sys.stderr)


def _silence(file: TextIO) -> None:
    """By the file descriptor, so that what Python flushes as it exits cannot fail either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)

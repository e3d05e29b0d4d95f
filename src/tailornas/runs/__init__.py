"""The run folder: results by stage, checkpoints and resume, and what the user sees meanwhile."""

from tailornas.runs.console import Console, PlainConsole, TerminalConsole, make_console
from tailornas.runs.environment import environment
from tailornas.runs.files import read_json
from tailornas.runs.folder import RunFolder
from tailornas.runs.record import recorded_job

__all__ = [
    "Console",
    "PlainConsole",
    "RunFolder",
    "TerminalConsole",
    "environment",
    "make_console",
    "read_json",
    "recorded_job",
]

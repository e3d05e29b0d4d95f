"""The command ``tailornas``: a file a command."""

from tailornas.cli.app import app, main

__all__ = ["app", "main"]

"""TailorNAS: architecture search for long-tailed image data."""

from tailornas.version import __version__

__all__ = ["__version__"]

"""TailorNAS: architecture search for long-tailed image data."""

from typing import TYPE_CHECKING, Any

from tailornas.version import __version__

if TYPE_CHECKING:
    from tailornas.predict import Classifier, load_classifier

__all__ = ["Classifier", "__version__", "load_classifier"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for only then: it takes seconds, which the command's ``--help`` need not wait."""
    if name not in ("Classifier", "load_classifier"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tailornas import predict

    return getattr(predict, name)

"""Adapting a supernet of the source to the target."""

from tailornas.adaptation.head import HeadConfig, adapt_head, give_target_head

__all__ = ["HeadConfig", "adapt_head", "give_target_head"]

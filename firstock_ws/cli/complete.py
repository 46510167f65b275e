"""Completes instruments in the shell, from symbol files that are on this computer already."""

from __future__ import annotations


def complete_instrument(incomplete: str) -> list[str]:
    """Return what `incomplete` may become."""
    return []

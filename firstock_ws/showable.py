"""Makes words of somebody else's fit to be shown at a terminal."""

from __future__ import annotations


def showable(text: str) -> str:
    r"""Return `text` on one line, without anything that steers a terminal: such characters stand as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )

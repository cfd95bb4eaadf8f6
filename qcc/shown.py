"""Names and other texts of files, as they may be shown: they are data, and may come from a stranger."""

from __future__ import annotations

import html
import unicodedata

# Control characters, surrogates, and marks that change the direction of text or have no width.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
_KEPT = "\n\t"


def plain(text: str) -> str:
    """A text for a terminal: what would act on it, or hide or turn other text, is written as in Python, like
    \\x1b. Ends of lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def markup(text: str) -> str:
    """A text for HTML, SVG and Graphviz's labels and tooltips."""
    return html.escape(plain(text))


def counted(number: int, noun: str) -> str:
    """A number and what it counts: 1 batch, 3 batches."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('ch') else 's'}"


def _visible(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()

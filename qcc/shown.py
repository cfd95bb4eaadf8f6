"""Names and other texts of files, as they may be shown: they are data, and may come from a stranger."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Mapping, Sequence

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
    """A number and what it counts: 1 batch, 3 batches, 3 classes, 3 boxes, 3 epochs."""
    if number == 1:
        return f"1 {noun}"
    hissing = noun.endswith(("ch", "ss", "x")) and not noun.endswith("epoch")
    return f"{number} {noun}{'es' if hissing else 's'}"


def metric_value(value: float) -> str:
    """What a metric gives, which may be a small error as well as a share: 0.9120, -0.000226."""
    return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value + 0.0:.4f}"


def listed(numbers: Mapping[str, int]) -> str:
    """Kinds with the number of each: 3 Conv, 1 MatMul."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(numbers.items())) or "nothing"


def short_paths(paths: Sequence[str], room: int) -> list[str]:
    """Paths in about `room` characters, each with that part of it in which it differs from the others: of one
    that is longer as much of the end as fits, with the last folder that tells it from the others."""
    split = {path: path.split("/") for path in paths}
    return [path if len(path) <= room else _short(path, split, room) for path in paths]


def _short(path: str, split: Mapping[str, list[str]], room: int) -> str:
    parts, others = split[path], [one for name, one in split.items() if name != path]
    tells = (n for n in range(1, len(parts)) if all(one[-n:] != parts[-n:] for one in others))
    least = next(tells, len(parts))
    ends = ("…/" + "/".join(parts[-n:]) for n in range(len(parts) - 1, least - 1, -1))
    fitting = next((end for end in ends if len(end) <= room), None)
    if fitting is not None:
        return fitting
    telling = parts[-least:] if least < 3 else [parts[-least], "…", parts[-1]]
    shown = "/".join(telling if least == len(parts) else ["…", *telling])
    if len(shown) <= room or least > 1:
        return shown
    return f"…{path[len(path) - room + 1 :]}"


def _visible(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()

"""HTML that is put together from elements, so that no text gets into it unescaped."""

from __future__ import annotations

from qcc.shown import markup


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: object) -> Html:
    """An element. Children that are no Html are texts, and are escaped, as are the attributes' values.

    Attributes are named as in HTML, with _ for - and a _ behind words of Python: `class_`, `data_value`. One
    that is None or False is left out, and True stands without a value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(word if value is True else f'{word}="{markup(str(value))}"')
    start = f"<{' '.join(words)}>"
    if name in _EMPTY:
        return Html(start)
    return Html(f"{start}{joined(*children)}</{name}>")


_EMPTY = frozenset({"br", "input", "meta"})


def joined(*children: str) -> Html:
    """Elements and texts one behind the other."""
    return Html("".join(child if isinstance(child, Html) else markup(child) for child in children))

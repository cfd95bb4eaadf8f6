"""Pascal VOC annotation files, with the line of every value.

The parser is expat by hand, since the tree parsers keep no line numbers; entities are refused, so that no
file can grow in memory or name another one.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from xml.parsers import expat

from qcc.errors import DataError
from qcc.inputs import read_input

# Thousands of objects have some hundred thousand elements.
_LARGEST, _MOST_ELEMENTS = 1 << 26, 1_000_000
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
# What is read byte by byte cannot be that: programs on Windows write so into files of UTF-8.
_WIDE = (b"utf-16", b"utf-32")
_UNSET = ("", "unspecified")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass
class Element:
    """An XML element: its tag, pieces of text, children, and where it starts ("FILE, line N")."""

    tag: str
    place: str
    pieces: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, tag: str) -> Iterator[Element]:
        return (child for child in self.children if child.tag == tag)

    def one(self, tag: str) -> Element:
        """The first child of this tag. Raises DataError when there is none."""
        for child in self.all(tag):
            return child
        raise DataError(f"{self.place}: <{self.tag}> has no <{tag}>.")

    def number(self, tag: str) -> float:
        """The number in a child. Raises DataError when it is none."""
        child = self.one(tag)
        try:
            value = float(child.text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{child.place}: <{tag}> must hold a number, not {child.text.strip()[:80]!r}.")
        return value


@dataclass(frozen=True)
class VocObject:
    """One object as it stands in the file; `box`: xmin, ymin, xmax, ymax."""

    place: str
    class_name: str
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocAnnotation:
    width: int
    height: int
    objects: tuple[VocObject, ...]


def read_annotation(path: Path) -> VocAnnotation:
    """Read one annotation file. Raises DataError that names file and line when it is not VOC's XML."""
    root = _parse(path)
    if root.tag != "annotation":
        raise DataError(f"{root.place}: the root must be <annotation>, as VOC writes it, not <{root.tag}>.")
    size = root.one("size")
    width, height = int(size.number("width")), int(size.number("height"))
    if width < 1 or height < 1:
        raise DataError(f"{size.place}: an image of {width} x {height} pixels is none.")
    return VocAnnotation(width, height, tuple(_object(item) for item in root.all("object")))


def _object(item: Element) -> VocObject:
    bounds = item.one("bndbox")
    box = (bounds.number("xmin"), bounds.number("ymin"), bounds.number("xmax"), bounds.number("ymax"))
    difficult = any(_is_set(item, child) for child in item.all("difficult"))
    return VocObject(bounds.place, item.one("name").text.strip(), box, difficult)


def _is_set(item: Element, child: Element) -> bool:
    """A flag. Tools leave it empty, or write "Unspecified", where nobody has set it."""
    return child.text.strip().lower() not in _UNSET and bool(item.number(child.tag))


def _in_utf8(path: Path) -> bytes:
    """A file's text, read in the encoding that it declares. (expat knows UTF-8, UTF-16 and Latin-1.)"""
    try:
        data = read_input(path, _LARGEST)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    declared = _ENCODING.match(data)
    if declared and declared[1].lower().startswith(_WIDE):
        declared = None
    encoding = declared[1].decode() if declared else "utf-16" if data[:2] in _UTF_16 else "utf-8-sig"
    try:
        text = data.decode("utf-8-sig" if encoding.lower() == "utf-8" else encoding)
        # Some codecs give halves of characters, which no encoding holds.
        return text.encode()
    except (UnicodeError, LookupError) as error:
        raise DataError(f"{path} is no text in the encoding {encoding}: {error}.") from error


def _parse(path: Path) -> Element:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True  # or each line is a piece of text
    top = Element("", f"{path}, line 1")
    stack, numbers = [top], count(1)

    def start(tag: str, _attributes: dict[str, str]) -> None:
        place = f"{path}, line {parser.CurrentLineNumber}"
        if next(numbers) > _MOST_ELEMENTS:
            raise DataError(f"{place}: there are more than {_MOST_ELEMENTS:,} elements.")
        element = Element(tag, place)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_tag: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].pieces.append(data)

    def refuse_entity(name: str, *_rest: object) -> None:
        raise DataError(f"{path}, line {parser.CurrentLineNumber}: entity '{name}' is declared; none may be.")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, refuse_entity
    try:
        parser.Parse(_in_utf8(path), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DataError(f"{path}, line {error.lineno}: this is not XML: {reason}.") from error
    return top.children[0]

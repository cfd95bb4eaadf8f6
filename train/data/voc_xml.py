"""Pascal VOC annotation files, with the line of every value.

The parser is expat by hand, since the tree parsers keep no line numbers; entities are refused, so that no
file can grow in memory or name another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from qcc.errors import DataError


@dataclass
class Element:
    """An XML element: its tag, text, children, and where it starts ("FILE, line N")."""

    tag: str
    place: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

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
            return float(child.text)
        except ValueError as error:
            raise DataError(
                f"{child.place}: <{tag}> must hold a number, not {child.text.strip()!r}."
            ) from error


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
    difficult = any(bool(item.number("difficult")) for _ in item.all("difficult"))
    return VocObject(bounds.place, item.one("name").text.strip(), box, difficult)


def _parse(path: Path) -> Element:
    parser = expat.ParserCreate()
    top = Element("", f"{path}, line 1")
    stack = [top]

    def start(tag: str, _attributes: dict[str, str]) -> None:
        element = Element(tag, f"{path}, line {parser.CurrentLineNumber}")
        stack[-1].children.append(element)
        stack.append(element)

    def end(_tag: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse_entity(name: str, *_rest: object) -> None:
        raise DataError(f"{path}, line {parser.CurrentLineNumber}: entity '{name}' is declared; none may be.")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, refuse_entity
    try:
        parser.Parse(path.read_bytes(), True)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise DataError(f"{path}, line {error.lineno}: this is not XML: {reason}.") from error
    return top.children[0]

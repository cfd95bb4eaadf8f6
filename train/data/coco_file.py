"""The .json file of a data set in COCO's format (Lin et al. 2014, arXiv:1405.0312), entry by entry."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pycocotools.coco import COCO
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qcc.errors import DataError
from qcc.text_lines import read_text
from qcc.train.data.detection_set import BadData

_LARGEST = 4 << 30

Id = int | str
Length = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
# COCO rates what is no larger than that, and silently nothing else.
Area = Annotated[float, Field(ge=0, le=1e10)]
Flag = bool | Annotated[int, Field(ge=0, le=1)] | None


class _Entry(BaseModel):
    """What qcc reads of an entry; whatever else it holds stays in the file."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: Id


class _Category(_Entry):
    name: Annotated[str, Field(min_length=1)]


class _Image(_Entry):
    file_name: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
    width: Length
    height: Length


class _Annotation(_Entry):
    image_id: Id
    category_id: Id
    bbox: Annotated[list[Number], Field(min_length=4, max_length=4)]
    iscrowd: Flag = 0
    area: Area | None = None


_E = TypeVar("_E", bound=_Entry)


def read_coco_file(path: Path, bad: BadData) -> COCO:
    """pycocotools' index of a file's good entries. What is wrong with one is reported to `bad`, and its image
    left out. `iscrowd` and `area` may be missing, or null; an area is then that of the box.

    Raises DataError that names the file when it is not in COCO's format as a whole, or a category is not.
    """
    content = _json(path)
    lists = {key: _list(path, content, key) for key in ("images", "annotations", "categories")}
    categories = _entries(path, "category", lists["categories"], _Category, BadData())
    images = _entries(path, "image", lists["images"], _Image, bad)
    left_out: set[Id] = set()
    annotations = _entries(path, "annotation", lists["annotations"], _Annotation, bad, left_out)
    coco = COCO()
    coco.dataset = {
        **content,
        "categories": [category.model_dump() for category in categories],
        "images": [_dumped(image) for image in images if image.id not in left_out],
        "annotations": [_completed(item) for item in annotations if item.image_id not in left_out],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how far it is
        coco.createIndex()
    return coco


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path, _LARGEST, DataError, "it describes the images"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}.") from error
    except ValueError as error:  # of numbers with thousands of digits
        raise DataError(f"{path} cannot be read: {error}.") from error
    except RecursionError as error:
        raise DataError(f"{path} is not in COCO's format: it is nested too deep.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not in COCO's format: its top is no object.")
    return content


def _list(path: Path, content: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(content.get(key), list):
        raise DataError(f"{path} is not in COCO's format: it has no list '{key}'.")
    return list(content[key])


def _entries(
    path: Path, word: str, found: list[Any], kind: type[_E], bad: BadData, left_out: set[Id] | None = None
) -> list[_E]:
    """The good entries, each with an id of its own; the images of bad annotations go into `left_out`, and of
    each of these the first fault is reported. Raises DataError for an annotation that tells no image."""
    good: dict[Id, _E] = {}
    for number, item in enumerate(found):
        fault: str | None
        try:
            entry = kind.model_validate(item)
            fault = _fault_of_id(entry.id, good)
        except ValidationError as error:
            fault = _fault(error)
        if fault is None:
            good[entry.id] = entry
            continue
        message = f"{path}, {word} {_name(item, number)}: {fault}."
        if left_out is not None:
            image = item.get("image_id") if isinstance(item, dict) else None
            # Nobody knows which image lacks it.
            if isinstance(image, bool) or not isinstance(image, int | str):
                raise DataError(message)
            if image in left_out:
                continue
            left_out.add(image)
        bad.found(message)
    return list(good.values())


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    key, *places = first["loc"] or ("",)
    if any(isinstance(part, str) for part in places):
        # What may be of two types has an error for each, with the type's name behind the key.
        return (
            f"{key}: {'Input should be 0 or 1' if key == 'iscrowd' else 'Input should be an integer or text'}"
        )
    where = ".".join(str(part) for part in (key, *places))
    return f"{where}: {first['msg']}" if where else first["msg"]


def _fault_of_id(number: Id, known: dict[Id, Any]) -> str | None:
    if number in known:
        return f"its id {number!r} stands twice; ids are unique in the whole file"
    if known and type(number) is not type(next(iter(known))):
        return f"its id {number!r} is of another type than those before it"
    return None


def _name(item: Any, number: int) -> str:
    known = item.get("id") if isinstance(item, dict) else None
    return str(known) if isinstance(known, int | str) else f"number {number + 1}"


def _dumped(image: _Image) -> dict[str, Any]:
    return {**image.model_dump(), "width": int(image.width), "height": int(image.height)}


def _completed(item: _Annotation) -> dict[str, Any]:
    area = item.bbox[2] * item.bbox[3] if item.area is None else item.area
    return {**item.model_dump(), "iscrowd": int(item.iscrowd or 0), "area": area}


def annotations_of(coco: COCO, image: Id) -> Iterator[dict[str, Any]]:
    """An image's annotations but for crowds."""
    numbers: Sequence[Id] = coco.getAnnIds(imgIds=[image], iscrowd=False)
    yield from coco.loadAnns(numbers)

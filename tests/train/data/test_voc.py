"""Reading Pascal VOC: what is right, and each way to be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest
from detection_data import CLASSES, write_voc

from qcc.calibrate.data.image_file import read_image
from qcc.errors import DataError
from qcc.train.data.detection_set import BadData, DetectionSet
from qcc.train.data.voc import VOC_CLASSES, read_class_names, read_voc
from qcc.train.data.voc_xml import read_annotation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_voc(tmp_path, {"trainval": 4, "test": 2})


def read(folder: Path, annotation: str = "trainval.txt", skip: bool = False) -> DetectionSet:
    return read_voc(folder, annotation, read_class_names(folder, False), BadData(skip))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_reads_pairs_and_ids_alike(folder: Path) -> None:
    pairs, ids = read(folder), read(folder, "ImageSets/Main/trainval.txt")

    assert [item.path for item in pairs.images] == [item.path for item in ids.images]
    assert pairs.class_names == CLASSES
    assert [int(item.labels[0]) for item in pairs.images] == [0, 1, 0, 1]
    first = pairs.images[0]
    assert (first.width, first.height) == read_image(first.path).shape[1::-1]
    assert (first.boxes[0, 2:] - first.boxes[0, :2]).tolist() == [19, 19]


def test_default_labels_are_vocs(folder: Path) -> None:
    assert read_class_names(folder, True) == VOC_CLASSES
    assert len(VOC_CLASSES) == 20


def test_difficult(folder: Path) -> None:
    edit(folder / "Annotations/trainval_1.xml", "<difficult>0", "<difficult>1")

    assert [bool(item.difficult[0]) for item in read(folder).images] == [False, True, False, False]


@pytest.mark.parametrize("unset", ["<difficult/>", "<difficult>Unspecified</difficult>", ""])
def test_difficult_may_be_unset(folder: Path, unset: str) -> None:
    """As tools write it where nobody has said whether an object is."""
    edit(folder / "Annotations/trainval_1.xml", "<difficult>0</difficult>", unset)
    assert not any(item.difficult[0] for item in read(folder).images)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "trainval_1.xml",
            "<name>bar",
            "<name>cube",
            r"trainval_1\.xml, line \d+: class 'cube' is not one of .* use_default_label",
        ),
        ("trainval_1.xml", "<xmin>", "<xmin>-2", r"trainval_1\.xml, line \d+: box .* reaches outside the im"),
        (
            "trainval_1.xml",
            "<xmax>",
            "<xmax>9",
            r"trainval_1\.xml, line \d+: box .* reaches outside the image",
        ),
        ("trainval_1.xml", "<xmax>", "<xmax>0.", r"trainval_1\.xml, line \d+: box .* ends before it begins"),
        ("trainval_1.xml", "<ymax>", "<ymax>x", r"trainval_1\.xml, line \d+: <ymax> must hold a number"),
        (
            "trainval_1.xml",
            "<size>",
            "<bigness>",
            r"trainval_1\.xml, line \d+: this is not XML: mismatched tag",
        ),
        ("trainval_1.xml", "annotation>", "root>", r"trainval_1\.xml, line \d+: this is not XML"),
        ("trainval_1.xml", "<width>64</width>", "", r"trainval_1\.xml, line 3: <size> has no <width>"),
    ],
)
def test_bad_annotation(folder: Path, file: str, old: str, new: str, message: str) -> None:
    edit(folder / "Annotations" / file, old, new)

    with pytest.raises(DataError, match=message):
        read(folder)
    left = read(folder, skip=True)
    assert len(left) == 3
    assert len(left.bad.messages) == 1


@pytest.mark.parametrize(("begin", "end"), [("xmin", "xmax"), ("ymin", "ymax")])
def test_a_box_without_area_is_left_out_alone(folder: Path, begin: str, end: str) -> None:
    """As by PaddleDetection, which keeps the image."""
    path = folder / "Annotations/trainval_1.xml"
    text = path.read_text()
    whole = text[text.index("<object>") : text.index("</object>") + len("</object>")]
    (edge,) = re.findall(f"<{begin}>(.*)</{begin}>", whole)
    path.write_text(text.replace(whole, re.sub(f"<{end}>.*<", f"<{end}>{edge}<", whole) + whole))

    data = read(folder)

    assert [len(item.boxes) for item in data.images] == [1, 1, 1, 1]
    assert data.images[1].boxes.tolist() == read(folder, "test.txt").images[1].boxes.tolist()
    assert not data.bad.messages
    (told,) = data.bad.empty_boxes
    assert re.search(r"trainval_1\.xml, line \d+: box .* has no area\.$", told)


def test_an_image_that_is_listed_twice(folder: Path) -> None:
    for annotation in ("trainval.txt", "ImageSets/Main/trainval.txt"):
        lines = (folder / annotation).read_text().splitlines()
        (folder / annotation).write_text("\n".join([*lines, lines[1]]))

        with pytest.raises(DataError, match=r"trainval\.txt, line 5: .*_1\.jpg is listed already.* 2;"):
            read(folder, annotation)
        left = read(folder, annotation, skip=True)
        assert [item.image_id for item in left.images] == [0, 1, 2, 3]
        assert len(left.bad.messages) == 1


def test_a_missing_annotation_is_named_with_its_line(folder: Path) -> None:
    (folder / "Annotations/trainval_2.xml").unlink()

    with pytest.raises(DataError, match=r"trainval\.txt, line 3: the annotation .*_2\.xml does not exist"):
        read(folder)


def test_xml_of_something_else(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_text("<svg>\n</svg>\n")

    with pytest.raises(DataError, match=r"line 1: the root must be <annotation>"):
        read_annotation(path)


def test_entities_are_refused(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_text(
        '<!DOCTYPE a [\n<!ENTITY x SYSTEM "file:///etc/passwd">\n]>\n<annotation>&x;</annotation>'
    )

    with pytest.raises(DataError, match=r"line 2: entity 'x' is declared"):
        read_annotation(path)


def test_missing_image_names_the_line_of_the_list(folder: Path) -> None:
    (folder / "JPEGImages/trainval_2.jpg").unlink()

    with pytest.raises(DataError, match=r"trainval\.txt, line 3: the image .*trainval_2\.jpg does not exist"):
        read(folder)
    assert len(read(folder, skip=True)) == 3


def test_odd_line(folder: Path) -> None:
    (folder / "odd.txt").write_text("one two three\n")

    with pytest.raises(DataError, match=r"odd\.txt, line 1: expected"):
        read(folder, "odd.txt")


def test_an_empty_list_is_an_error_even_when_skipping(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n\n")

    with pytest.raises(DataError, match=r"empty\.txt gives no image"):
        read(folder, "empty.txt", skip=True)


def test_nothing_left_is_an_error(folder: Path) -> None:
    for path in (folder / "JPEGImages").iterdir():
        path.unlink()

    with pytest.raises(DataError, match="gives no image; 4 bad images left out"):
        read(folder, skip=True)


def test_missing_list_and_labels(folder: Path) -> None:
    with pytest.raises(DataError, match=r"val\.txt does not exist; it lists the images"):
        read(folder, "val.txt")
    (folder / "label_list.txt").unlink()
    with pytest.raises(
        DataError, match=r"label_list\.txt does not exist; it names the classes, unless use_def"
    ):
        read_class_names(folder, False)


def test_truncated_jpeg(folder: Path) -> None:
    path = folder / "JPEGImages/trainval_0.jpg"
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(DataError, match=r"trainval_0\.jpg cannot be decoded: image file is truncated"):
        read_image(path)


def test_no_image_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_text("hello")

    with pytest.raises(DataError, match="is no image file"):
        read_image(path)


def test_names_with_blanks(folder: Path) -> None:
    (folder / "JPEGImages/trainval_0.jpg").rename(folder / "JPEGImages/a b.jpg")
    (folder / "Annotations/trainval_0.xml").rename(folder / "Annotations/c d.XML")
    for number, blank in enumerate((" ", "\t", "  ")):
        (folder / f"{number}.txt").write_text(f"JPEGImages/a b.jpg{blank}Annotations/c d.XML\n")
        assert read(folder, f"{number}.txt").images[0].path == folder / "JPEGImages/a b.jpg"


def test_backslashes_flags_and_bitmaps(folder: Path) -> None:
    (folder / "windows.txt").write_bytes(
        b"\xef\xbb\xbfJPEGImages\\trainval_0.jpg Annotations\\trainval_0.xml\r\n"
    )
    assert read(folder, "windows.txt").images[0].path == folder / "JPEGImages/trainval_0.jpg"

    picture = read_image(folder / "JPEGImages/trainval_1.jpg")
    (folder / "JPEGImages/trainval_1.jpg").unlink()
    cv2.imwrite(str(folder / "JPEGImages/trainval_1.bmp"), picture)
    (folder / "flags.txt").write_text("trainval_0 -1\ntrainval_1  1\n")
    assert [item.path.name for item in read(folder, "flags.txt").images] == [
        "trainval_0.jpg",
        "trainval_1.bmp",
    ]


def test_lists_in_their_usual_place_are_found(folder: Path) -> None:
    (folder / "trainval.txt").unlink()
    assert len(read(folder)) == 4


@pytest.mark.parametrize("encoding", ["gb2312", "gbk", "utf-16", "latin-1", "shift_jis", "utf-8"])
def test_encodings_of_annotations(folder: Path, encoding: str) -> None:
    path = folder / "Annotations/trainval_0.xml"
    name = "größe" if encoding == "latin-1" else "\u4eba"
    text = path.read_text().replace("<object>", f"<folder>{name}</folder><object>", 1)
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'.encode(encoding))
    assert len(read_annotation(path).objects) == 1


def test_utf_8_that_says_it_were_utf_16(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    text = path.read_text().replace("<object>", "<folder>\u4eba</folder><object>", 1)
    path.write_text(f'<?xml version="1.0" encoding="utf-16"?>\n{text}', encoding="utf-8")
    assert len(read_annotation(path).objects) == 1


@pytest.mark.parametrize("encoding", ["gb2312", "klingon", "undefined"])
def test_text_that_is_not_in_its_encoding(folder: Path, encoding: str) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>\n'.encode() + b"<annotation>\xff\xff")
    with pytest.raises(DataError, match=rf"trainval_0\.xml is no text in the encoding {encoding}"):
        read_annotation(path)


def test_an_encoding_that_gives_halves_of_characters(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_bytes(b'<?xml version="1.0" encoding="utf-7"?><annotation>+2AA-</annotation>')
    with pytest.raises(DataError, match=r"trainval_0\.xml is no text in the encoding utf-7: .* surrogates"):
        read_annotation(path)


def test_more_elements_than_objects_have(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_bytes(b"<annotation>\n" + b"<a/>" * 1_000_000 + b"</annotation>")
    with pytest.raises(DataError, match=r"trainval_0\.xml, line 2: there are more than 1,000,000 elements"):
        read_annotation(path)


@pytest.mark.parametrize("line", ["x" * 300, f"{'x' * 300}.jpg Annotations/trainval_0.xml"])
def test_names_longer_than_a_file_system_takes(folder: Path, line: str) -> None:
    (folder / "long.txt").write_text(f"{line}\nJPEGImages/trainval_0.jpg Annotations/trainval_0.xml\n")
    with pytest.raises(DataError, match=r"long\.txt, line 1: the .* cannot be read: File name too long"):
        read(folder, "long.txt")
    (image,) = read(folder, "long.txt", skip=True).images
    assert image.image_id == 1  # its place in the list, whatever is left out before it


@pytest.mark.parametrize("number", ["inf", "nan", "-inf", "1e999", ""])
def test_sizes_that_are_no_numbers(folder: Path, number: str) -> None:
    edit(folder / "Annotations/trainval_0.xml", "<width>64", f"<width>{number}")
    with pytest.raises(DataError, match=r"trainval_0\.xml, line \d+: <width> must hold a number"):
        read(folder)


def test_a_label_list_in_gbk_is_called_so(folder: Path) -> None:
    (folder / "label_list.txt").write_bytes("\u4eba\u8f66\n".encode("gbk"))
    with pytest.raises(DataError, match=r"label_list\.txt is no text in UTF-8; it can be read as GBK"):
        read(folder)


def test_boxes_over_the_edge_by_rounding_are_cut(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    path.write_text(re.sub(r"<xmax>\d+", "<xmax>64.7", path.read_text()))
    assert read(folder).images[0].boxes[0, 2] == 64


def test_a_long_text_is_read(folder: Path) -> None:
    path = folder / "Annotations/trainval_0.xml"
    text = "&amp;x\n" * 300_000
    path.write_text(path.read_text().replace("<object>", f"<note>{text}</note><object>", 1))
    assert len(read_annotation(path).objects) == 1


def test_a_list_with_a_nul_is_no_text(folder: Path) -> None:
    (folder / "trainval.txt").write_bytes(b"JPEGImages/trainval_0.jpg\0 Annotations/trainval_0.xml\n")
    with pytest.raises(DataError, match=r"trainval\.txt is no text: it holds a NUL"):
        read(folder)

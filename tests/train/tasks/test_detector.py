"""The detector's batches, evaluation and bad data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detection_data import CLASSES
from tiny_detector import write_detector_config

from qcc.errors import ConfigError, DataError
from qcc.train.config import DetectorConfig, load_config
from qcc.train.evaluation.evaluate import one_by_one
from qcc.train.parallel.group import Alone
from qcc.train.tasks.build import build_task
from qcc.train.tasks.detector import DetectorTask, detections

Batches = list[dict[str, np.ndarray]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_detector_config(tmp_path)


def task(path: Path, *overrides: str, skip_bad: bool = False) -> DetectorTask:
    config = load_config(path, overrides)
    assert isinstance(config, DetectorConfig)
    return DetectorTask(config, skip_bad=skip_bad)


def batches(path: Path, *overrides: str, epoch: int = 0, first: int = 0) -> Batches:
    return list(task(path, *overrides).train_batches(epoch, first))


def same(one: Batches, other: Batches) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(left[name], right[name])
        for left, right in zip(one, other, strict=True)
        for name in left
    )


def damage(path: Path, name: str) -> None:
    image = path.parent / "data/JPEGImages" / name
    image.write_bytes(image.read_bytes()[:-300])


def test_feeds(path: Path) -> None:
    for feeds in batches(path):
        side = feeds["image"].shape[-1]
        assert side in (32, 64)
        assert feeds["image"].shape == (4, 3, side, side)
        assert feeds["image"].dtype == np.float32
        assert feeds["gt_box"].shape == (4, 6, 4)
        assert feeds["gt_label"].dtype == np.int32
        assert (feeds["gt_score"] <= 1).all()


def test_workers_and_restarts_change_nothing(path: Path) -> None:
    whole = batches(path)

    assert len(whole) == 3
    assert same(whole, batches(path, "YoloTrainFeed.num_workers=2"))
    assert same(whole[1:], batches(path, first=1))


def test_epochs_differ(path: Path) -> None:
    assert not same(batches(path), batches(path, epoch=1))


def test_mixup_ends(path: Path) -> None:
    first, second = batches(path), batches(path, epoch=1)

    assert any(((feeds["gt_score"] > 0) & (feeds["gt_score"] < 1)).any() for feeds in first)
    assert not any(((feeds["gt_score"] > 0) & (feeds["gt_score"] < 1)).any() for feeds in second)


def test_batches_take_their_shapes_at_random(path: Path) -> None:
    sides = {feeds["image"].shape[-1] for epoch in range(4) for feeds in batches(path, epoch=epoch)}

    assert sides == {32, 64}


def test_max_iters_cuts_passes_into_epochs(path: Path) -> None:
    by_pass = batches(path) + batches(path, epoch=1)
    by_two = [feeds for epoch in range(3) for feeds in batches(path, "max_iters=2", epoch=epoch)]

    assert same(by_pass, by_two)
    (note,) = task(path, "max_iters=2").notes()
    assert "max_iters is 2, while one pass over the data has 3 batches of 4" in note
    assert task(path, "max_iters=3").notes() == []


class Part(Alone):
    """One of several processes that tell each other nothing."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def test_processes_share_the_batches_of_one_with_the_whole_batch(path: Path) -> None:
    config = load_config(path, ("YoloTrainFeed.batch_size=3",))
    assert isinstance(config, DetectorConfig)
    parts = [DetectorTask(config, group=Part(rank, 2)) for rank in range(2)]

    halves = [list(part.train_batches(1, 1)) for part in parts]

    together = [
        {name: np.concatenate([left[name], right[name]]) for name in left}
        for left, right in zip(*halves, strict=True)
    ]
    assert same(together, batches(path, "YoloTrainFeed.batch_size=6", epoch=1, first=1))
    assert [part.batch_size for part in parts] == [6, 6]


def test_fewer_images_than_a_batch(path: Path) -> None:
    with pytest.raises(DataError, match="gives 14 images, fewer than one batch of 15"):
        _ = task(path, "YoloTrainFeed.batch_size=15").steps_per_epoch


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image_stops_training_with_its_name(path: Path, workers: int) -> None:
    damage(path, "trainval_3.jpg")

    with pytest.raises(DataError) as error:
        batches(path, f"YoloTrainFeed.num_workers={workers}")
    assert str(error.value).startswith(str(path.parent))
    assert "trainval_3.jpg cannot be decoded" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_truncated_image_is_left_out_and_counted(path: Path, workers: int) -> None:
    damage(path, "trainval_3.jpg")
    skipping = task(path, f"YoloTrainFeed.num_workers={workers}", "max_iters=9", skip_bad=True)

    assert len(list(skipping.train_batches(0, 0))) == 9
    *told, last = skipping.left_out()
    assert last == "left out 1 bad image."
    assert "trainval_3.jpg" in told[0]


@pytest.mark.parametrize("mixup_epoch", [0, 1])
def test_each_bad_image_is_counted_in_one_pass(path: Path, mixup_epoch: int) -> None:
    for number in (3, 4, 5, 9):
        damage(path, f"trainval_{number}.jpg")
    whole = ("YoloTrainFeed.batch_size=2", f"YoloTrainFeed.mixup_epoch={mixup_epoch}")
    skipping = task(path, *whole, skip_bad=True)

    assert len(list(skipping.train_batches(0, 0))) == 7
    assert skipping.left_out()[-1] == "left out 4 bad images."


def test_image_of_another_size_than_annotated(path: Path) -> None:
    annotation = path.parent / "data/Annotations/trainval_0.xml"
    annotation.write_text(annotation.read_text().replace("<width>64", "<width>65"))

    with pytest.raises(DataError, match=r"is 64 x 64 pixels, but its annotation says 65 x 64"):
        batches(path)


def test_number_of_classes_must_fit(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"num_classes is 3, but .* has 2 classes"):
        _ = task(path, "num_classes=3").test_set


def test_the_list_of_classes_is_named_before_its_annotations_are_read(path: Path) -> None:
    (path.parent / "data/label_list.txt").write_text("square\n")

    with pytest.raises(ConfigError, match=r"num_classes is 2, but .*label_list\.txt has 1 class\."):
        _ = task(path).test_set
    with pytest.raises(ConfigError, match=r"but VOC \(use_default_label: true\) has 20 classes\."):
        _ = task(path, "YoloEvalFeed.dataset.use_default_label=true").test_set


def without_objects(folder: Path, split: str) -> None:
    for annotation in (folder / "data/Annotations").glob(f"{split}_*.xml"):
        annotation.write_text(re.sub("<object>.*</object>", "", annotation.read_text(), flags=re.DOTALL))


def test_without_a_box_there_is_nothing_to_rate(path: Path) -> None:
    without_objects(path.parent, "test")

    for rate in (task(path).check, lambda: task(path).evaluate(lambda feeds: [])):
        with pytest.raises(DataError, match=r"test\.txt has no box that counts, .* nothing to rate\."):
            rate()


def test_the_feed_without_a_list_is_named(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"YoloEvalFeed\.dataset\.annotation is missing: it is the file"):
        _ = task(path, "YoloEvalFeed.dataset={}").test_set


def test_each_set_tells_what_was_left_out_of_itself(path: Path) -> None:
    without_objects(path.parent, "test")
    for number in (2, 3):
        (path.parent / f"data/Annotations/trainval_{number}.xml").unlink()
    detector = task(path, skip_bad=True)

    assert len(detector.train_set) == 12
    with pytest.raises(DataError, match=r"nothing to rate\.$"):
        detector.check()
    assert detector.left_out()[-1] == "left out 2 bad images."


def test_a_box_without_area_is_told_once(path: Path) -> None:
    edges = "<xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>12</ymax>"
    empty = f"<object><name>{CLASSES[0]}</name><bndbox>{edges}</bndbox></object></annotation>"
    for name in ("trainval_2", "test_1"):
        annotation = path.parent / f"data/Annotations/{name}.xml"
        annotation.write_text(annotation.read_text().replace("</annotation>", empty))
    detector = task(path)

    detector.check()
    (told,) = detector.left_out()
    assert told.startswith("left out 2 boxes without area; the first: ")
    assert re.search(r"\.xml, line \d+: box 9, 9, 9, 12 \(left, top, right, bottom\) has no area\.$", told)


def test_difficult_boxes_alone_are_nothing_to_rate(path: Path) -> None:
    for annotation in (path.parent / "data/Annotations").glob("test_*.xml"):
        annotation.write_text(annotation.read_text().replace("<difficult>0", "<difficult>1"))

    with pytest.raises(DataError, match="has no box that counts"):
        task(path).check()


def test_without_a_box_there_is_nothing_to_train_on(path: Path) -> None:
    without_objects(path.parent, "trainval")

    with pytest.raises(DataError, match=r"trainval\.txt has no box, so there is nothing to train on\."):
        task(path).check()


def test_coco_metric_needs_coco_data(path: Path) -> None:
    with pytest.raises(ConfigError, match="metric is COCO, but"):
        task(path, "metric=COCO").evaluate(lambda feeds: [])


def perfect(found: dict[int, np.ndarray]) -> Any:
    """A model that knows the right answer by the mean of the pixels that it is shown."""

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows = [found[round(float(image.mean()) * 1e5)] for image in feeds["image"]]
        return [np.concatenate(rows), np.array([len(row) for row in rows], np.int32)]

    return run


def answers(detector: DetectorTask) -> dict[int, np.ndarray]:
    result = {}
    for index, item in enumerate(detector.test_set.images):
        image = detector._test_fields(index)[0]
        found = np.column_stack([item.labels, np.full(len(item.labels), 0.9), item.boxes])
        result[round(float(image.mean()) * 1e5)] = found
    return result


def test_right_answers_have_an_ap_of_one(path: Path) -> None:
    detector = task(path)

    assert detector.evaluate(perfect(answers(detector))) == {"box_ap": pytest.approx(1.0)}


def test_bad_test_images_do_not_count(path: Path) -> None:
    damage(path, "test_1.jpg")
    detector = task(path, skip_bad=True)

    assert detector.evaluate(perfect(answers(detector))) == {"box_ap": pytest.approx(1.0)}
    assert detector.left_out()[-1] == "left out 1 bad image."


def test_images_that_cannot_be_read_may_be_all_that_had_boxes(path: Path) -> None:
    detector = task(path, skip_bad=True)
    for item in detector.test_set.images:
        if item.has_boxes():
            damage(path, item.path.name)
    one = detector.test_set.images[0].path
    (path.parent / "data/Annotations" / f"{one.stem}.xml").write_text(
        "<annotation><size><width>64</width><height>64</height></size></annotation>"
    )
    one.write_bytes((path.parent / "data/JPEGImages/trainval_1.jpg").read_bytes())

    with pytest.raises(DataError, match=r"has no box that counts.*; 5 bad images left out"):
        task(path, skip_bad=True).evaluate(
            lambda feeds: [np.zeros((0, 6)), np.zeros(len(feeds["image"]), int)]
        )


@pytest.mark.parametrize("place", [1, 2])
def test_what_is_no_number_is_not_rated(path: Path, place: int) -> None:
    detector = task(path)
    found = answers(detector)
    for rows in found.values():
        rows[:, place] = np.nan

    with pytest.raises(DataError, match=r"boxes or scores in .*test_0\.jpg that are not finite numbers"):
        detector.evaluate(perfect(found))


def test_a_classifiers_scores_that_are_no_numbers_are_not_rated(tiny_config: Path) -> None:
    classifier = build_task(load_config(tiny_config))

    with pytest.raises(DataError, match="scores are not finite numbers"):
        classifier.evaluate(lambda feeds: [np.full((len(feeds["image"]), 10), np.nan, np.float32)])


@pytest.mark.parametrize("counts", [[[0], [1]], [2, 3], [1]])
def test_a_second_output_that_holds_no_counts(counts: list[Any]) -> None:
    found = [np.zeros((2, 6), np.float32), np.array(counts)]

    with pytest.raises(DataError, match="does not tell how many of 2 detections belong to each of 2 images"):
        list(detections(lambda feeds: found, np.zeros((2, 3, 32, 32)), np.zeros((2, 2), np.int32)))


def test_nothing_found_as_multiclass_nms_writes_it() -> None:
    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        seen = feeds["image"].any()
        return [np.full((1, 6), 1.0) if seen else np.full((1, 1), -1.0)]

    images, sizes = np.stack([np.full((3, 2, 2), value) for value in (0, 1, 0)]), np.zeros((3, 2), np.int32)
    for runs in (run, one_by_one(["image"], run)):
        for some, counts in ((images, [0, 1, 0]), (images[::2], [0, 0]), (images[:1], [0])):
            found = list(detections(runs, some, sizes[: len(some)]))
            assert [rows.shape for rows in found] == [(count, 6) for count in counts]


def test_a_model_without_counts_is_run_image_by_image() -> None:
    sizes = []

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(feeds["image"]))
        return [feeds["image"].reshape(-1, 6)]

    images = np.arange(18, dtype=np.float32).reshape(3, 1, 1, 6)

    found = list(detections(run, images, np.zeros((3, 2), np.int32)))

    assert [row[0, 0] for row in found] == [0, 6, 12]
    assert sizes[1:] == [1, 1, 1]


def test_an_engine_runs_each_image_once() -> None:
    seen: list[float] = []

    def run(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        seen.append(float(feeds["image"].max()))
        return [np.full((int(seen[-1]), 6), seen[-1], np.float32)]

    images = np.stack([np.full((3, 2, 2), value) for value in (2, 0, 1)])

    found = list(detections(one_by_one(["image"], run), images, np.zeros((3, 2), np.int32)))

    assert [rows[:, 0].tolist() for rows in found] == [[2, 2], [], [1]]
    assert seen == [2, 0, 1]


def test_models_of_other_tasks(path: Path, tiny_config: Path) -> None:
    detector, classifier = task(path), build_task(load_config(tiny_config))
    with pytest.raises(DataError, match=r"first output is \[2, 10\], and detections are \[M, 6\]"):
        detector.evaluate(lambda feeds: [np.zeros((2, 10), np.float32)])
    with pytest.raises(DataError, match="the model finds class number 7, but num_classes is"):
        detector.evaluate(lambda feeds: [np.full((1, 6), 7, np.float32), np.array([1] + [0] * 3)])
    with pytest.raises(DataError, match="the model finds class number -1, but num_classes is"):
        detector.evaluate(lambda feeds: [np.full((1, 6), -1, np.float32), np.array([1] + [0] * 3)])
    with pytest.raises(DataError, match=r"first output is \[1, 6\] for 10 images, but num_classes is 10\."):
        classifier.evaluate(lambda feeds: [np.zeros((1, 6), np.float32)])


def test_skip_bad_is_not_for_classifiers(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match="--skip-bad is for data sets with a file per image"):
        build_task(load_config(tiny_config), skip_bad=True)

"""What a quantization-aware run writes besides its training state."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rich.console import Console

import qcc
from qcc.backends import Saved
from qcc.backends.lite.export import export
from qcc.errors import ConfigError, PassError
from qcc.files import check_folder, write_json
from qcc.grammar.section import Section
from qcc.model import Model
from qcc.shown import plain
from qcc.train.config import QuantizationStrategy, Slim
from qcc.train.models.network import Network
from qcc.train.programs.scheme import OLD_PROGRAM, freeze, frozen_name, save_form, scheme_record
from qcc.train.programs.scope import persistable_names
from qcc.train.programs.slicing import ops_behind, variables_of

Names = tuple[str, ...]
TestModel = Callable[[Names, Names], Model]
"""Makes the test model of now with given feeds and fetches."""

EVAL_MODEL, PRUNED = "__model__", "__model__.infer"
# In a checkpoint's folder: that of the model that was evaluated, and what it was quantized by.
EVAL_FOLDER, SCHEME = "eval_model", "scheme.json"
LITE_FILE = "model.nb"
# The keys that say where a form goes, and of each form the file without which it is not there.
FORM_OF_KEY = {
    "float_model_save_path": "float",
    "int8_model_save_path": "int8",
    "mobile_model_save_path": "mobile",
}
_FILE_OF_FORM = {"float": OLD_PROGRAM, "int8": OLD_PROGRAM, "mobile": LITE_FILE}


class Outputs:
    """The models that a slim file asks for; `pipeline`: inserts quantization.

    Raises ConfigError for names that the network does not have, OutputError for folders that cannot be.
    """

    def __init__(self, network: Network, slim: Slim, console: Console, pipeline: str) -> None:
        self._network, self._pipeline = network, pipeline
        self._strategy = strategy = slim.strategy
        self._compressor = slim.compressor
        self._console = console
        self._nodes = (
            strategy.save_in_nodes or network.test_feeds,
            strategy.save_out_nodes or network.outputs,
        )
        self._check_feeds(self._nodes[0], strategy, "save_in_nodes")
        self._check_fetches(self._nodes[1], strategy, "save_out_nodes")
        self._check_suffices(*self._nodes, strategy.where("save_in_nodes"))
        self._check_paths(strategy)
        pruned = slim.compressor.prune_infer_model
        if pruned is not None:
            self._check_feeds(pruned[0], slim.compressor, "prune_infer_model", 0)
            self._check_fetches(pruned[1], slim.compressor, "prune_infer_model", 1)
            self._check_suffices(*pruned, slim.compressor.where("prune_infer_model", 0))
            self._check_pruned(pruned[1])

    def write_eval_model(self, folder: Path, model: Model, quantized: bool, test_model: TestModel) -> None:
        """Write into a checkpoint's folder `model`, which was evaluated, and what it takes to freeze it."""
        write_json(folder / SCHEME, scheme_record(self._strategy, self._pipeline) if quantized else None)
        if not self._compressor.save_eval_model:
            return
        target, pruned = folder / EVAL_FOLDER, self._compressor.prune_infer_model
        # Unchecked: it has just been evaluated, and the checkpoint keeps digests of its files.
        if pruned is not None:
            part = qcc.PassManager.parse("prune").run(test_model(*pruned))
            qcc.save(part, target, model_filename=PRUNED, check=False)
        qcc.save(model, target, model_filename=EVAL_MODEL, check=False)

    def save_forms(self, test_model: TestModel, keys: Collection[str] = FORM_OF_KEY) -> None:
        """Freeze the transformed test model and write the forms of those `keys` that have a path."""
        model = test_model(*self._nodes)
        for key, path in self._paths().items():
            form = FORM_OF_KEY[key]
            if key in keys and form == "mobile":
                self._save_mobile(model, path / LITE_FILE)
            elif key in keys:
                saved = save_form(freeze(model, form), form, path, old_names=True)
                self._tell(saved, f"saved the {frozen_name(form)} form in {path}.")

    def missing(self, settings: dict[str, Any]) -> list[str]:
        """The keys of forms that a run with `settings` was not to save as the slim file says now."""
        before, now = settings["slim"]["strategy"], self._strategy.model_dump(mode="json", by_alias=True)
        same = all(before.get(key) == now[key] for key in ("end_epoch", "save_in_nodes", "save_out_nodes"))
        return [key for key in self._paths() if not same or before.get(key) != now[key]]

    def lost(self) -> list[str]:
        """The keys of forms that are not where they belong."""
        files = {key: path / _FILE_OF_FORM[FORM_OF_KEY[key]] for key, path in self._paths().items()}
        return [key for key, file in files.items() if not file.exists()]

    def _paths(self) -> dict[str, Path]:
        """The keys that say where a form goes, and where."""
        paths = {key: getattr(self._strategy, key) for key in FORM_OF_KEY}
        return {key: path for key, path in paths.items() if path is not None}

    def _save_mobile(self, model: Model, path: Path) -> None:
        """The form for phones was one for Paddle Lite to convert; this is what comes out of converting."""
        try:
            saved = export(freeze(model, "float"), path)
        except PassError as error:
            # Hours of training are not to be lost for it: the checkpoint is there to be exported from.
            message = f"mobile_model_save_path: nothing is written there: {error}"
            self._console.print(plain(message), markup=False)
            return
        self._tell(saved, f"saved the mobile form in {path}, as Paddle Lite loads it on ARM.")

    def _tell(self, saved: Saved, message: str) -> None:
        self._console.print(message, markup=False)
        for warning in saved.warnings:
            self._console.print(plain(f"  warning: {warning}"), markup=False)

    # ------------------------------------------------------------------ names

    # Names that cannot be saved are refused before any training is spent on them.

    def _check_feeds(self, names: Names, section: Section, *path: str | int) -> None:
        for index, name in enumerate(names):
            if name not in self._network.test_feeds:
                known = ", ".join(self._network.test_feeds)
                raise ConfigError(
                    f"{section.where(*path, index)}: the test program is not fed by '{name}', only by"
                    f" {known}."
                )

    def _check_fetches(self, names: Names, section: Section, *path: str | int) -> None:
        for index, name in enumerate(names):
            if not self._network.test.global_block().has_var(name):
                known = ", ".join(self._network.outputs)
                raise ConfigError(
                    f"{section.where(*path, index)}: the test program has no variable '{name}'; its outputs"
                    f" are {known}."
                )

    def _check_suffices(self, feeds: Names, fetches: Names, where: str) -> None:
        used = variables_of(ops_behind(self._network.test.global_block(), fetches))
        missing = [name for name in self._network.test_feeds if name in used and name not in feeds]
        if missing:
            raise ConfigError(f"{where}: {', '.join(fetches)} cannot be computed without '{missing[0]}'.")

    def _check_paths(self, strategy: QuantizationStrategy) -> None:
        taken: dict[Path, str] = {}
        for key, path in self._paths().items():
            check_folder(path)
            other = taken.setdefault(path.resolve(), key)
            if other != key:
                raise ConfigError(
                    f"{strategy.where(key)}: {path} is that of {other}, too: give each its own."
                )

    def _check_pruned(self, fetches: Names) -> None:
        """The pruned program reads the parameters of the whole one, so that it must need all of them."""
        used = variables_of(ops_behind(self._network.test.global_block(), fetches))
        spared = [name for name in persistable_names(self._network.test) if name not in used]
        if spared:
            raise ConfigError(
                f"{self._compressor.where('prune_infer_model', 1)}: {', '.join(fetches)} does not depend on"
                f" {len(spared)} of the network's parameters, the first is '{spared[0]}', but {PRUNED} shares"
                f" its parameter file with {EVAL_MODEL}; name the network's outputs."
            )

# Everything below sets itself up: `.venv` is made from its lock file when it is missing or out of date, and so is
# `.venv3`, which holds Paddle 3 in place of Paddle 2.6.
PYTHON ?= python3
BIN := .venv/bin
BIN3 := .venv3/bin
UV := uv==0.13.9
# Two cores do for the tests' own processes; the libraries below them must not each start a thread per core.
export OMP_NUM_THREADS ?= 1

# What `make test` runs on Paddle 3: texts of graphs, messages, files, bits, checks, a short training.
ON_PADDLE3 := $(addprefix tests/,golden qcc/ir/test_framework.py qcc/ir/test_text.py qcc/frontend/test_layouts.py \
	qcc/frontend/test_program_file.py qcc/frontend/paddle3/test_composed.py qcc/frontend/paddle3/test_half.py \
	qcc/frontend/paddle3/test_slices.py train/parallel/test_group.py qcc/passes/test_linear_bits.py \
	qcc/test_doctor.py qcc/test_paddle_import.py qcc/calibrate/test_activations.py train/programs/test_clipping.py \
	train/test_unlabelled.py train/test_quantize.py::test_the_whole_flow_on_the_command_line)

.DEFAULT_GOAL := help
.PHONY: help .venv .venv3 test test3 test-random test-slow docs demo demo-classifier demo-ocr bench bench-inference bench-engines bench-peer bench-ptq bench-walks bench-lite results zoo fuzz lock clean

help:  ## Show this list
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z.-]+):.*## */  make \1\t/' | expand -t 20

.venv:  ## Make or renew the virtual environment from the lock file
	@$(PYTHON) tools/bootstrap.py cpu

.venv3:  ## The same with Paddle 3
	@$(PYTHON) tools/bootstrap.py cpu3

test: .venv .venv3  ## Check style and types, then run the tests that are not slow, a few of them on Paddle 3, too
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python tools/typecheck.py
	$(BIN3)/pytest -n 2 -m "not slow" $(ON_PADDLE3)
	$(BIN)/pytest -n 2 -m "not slow"

test3: .venv3  ## Run all tests that are not slow on Paddle 3
	$(BIN3)/pytest -n 2 -m "not slow"

test-slow: .venv  ## Run the slow tests
	$(BIN)/pytest -n 2 -m slow

docs: .venv  ## Build the pages of docs/ as a site with a search, into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build

demo: .venv  ## Train a detector quantized on real photos, freeze, convert, evaluate, infer, draw
	$(BIN)/python examples/demo.py

demo-classifier: .venv  ## The same with a small classifier on Fashion-MNIST
	$(BIN)/python examples/demo.py classifier

demo-ocr: .venv  ## Quantize PP-OCRv5's detector and recognizer from photos, run them in Paddle Lite, draw what is read
	$(BIN)/python examples/demo_ocr.py

bench: .venv  ## Measure the compiler's speed beside Paddle's own passes
	$(BIN)/python bench/compile.py

bench-inference: .venv  ## Measure what int8 gains in oneDNN on networks of full size
	$(BIN)/python bench/inference.py

bench-engines: .venv  ## Measure what int8 gains in OpenVINO, ONNX Runtime and Paddle
	PYTHONPATH=tests/support $(BIN)/python bench/engines.py

bench-peer: .venv  ## Train quantized beside paddleslim
	$(BIN)/python bench/peer.py

bench-ptq: .venv  ## Measure quantization without training beside paddleslim
	PYTHONPATH=tests/support:examples/fashion_voc $(BIN)/python bench/ptq.py

bench-walks: .venv  ## Walk through docs/bench.md and docs/accuracy.md, and fill them with what was told
	PYTHONPATH=tests/support $(BIN)/python bench/walks.py
	$(BIN)/python tools/readme.py

bench-lite: .venv  ## Measure exports for Paddle Lite of networks of full size
	$(BIN)/python bench/lite.py

results: .venv  ## Train every weight x activation combination that has no record, and write docs/results.md
	[ -d dataset/fashion_voc ] || $(BIN)/python examples/fashion_voc/compose.py dataset/fashion_voc
	$(BIN)/python examples/results.py

zoo: .venv  ## Take networks of other packages through every form and engine
	$(BIN)/python bench/zoo/build.py
	$(BIN)/python bench/zoo/zoo.py

test-random: .venv  ## Take ten thousand random graphs through passes and backends, and count what each pass changed
	$(BIN)/python tests/fuzz/random_graphs.py

fuzz: .venv  ## Damage the files of every reader a hundred thousand times, and read them
	$(BIN)/python tests/fuzz/long_run.py

# uv keeps the versions that are in a lock file already; delete the file first to take the newest ones. What both
# Paddles are tested with is of one version: hence the copy.
COMPILE = build/uv/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml
lock:  ## Resolve pyproject.toml into the lock files, with hashes
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(COMPILE) --extra cpu --extra lite --extra onnx --extra openvino --extra slim --extra docs --extra dev --output-file requirements/cpu.txt
	cp requirements/cpu.txt requirements/cpu3.txt
	$(COMPILE) --extra cpu3 --extra lite --extra onnx --extra openvino --extra dev --output-file requirements/cpu3.txt
	$(COMPILE) --extra gpu --output-file requirements/gpu.txt

clean:  ## Remove .venv, .venv3, build output and caches
	rm -rf .venv .venv3 build dist qcc.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find qcc train tests tools bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

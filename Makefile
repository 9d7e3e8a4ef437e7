# make demo   install what a user needs, and run the demonstration
# make test   install what a developer needs; ruff, mypy, pytest without the tests marked long
# make test-all   the same with the long tests
# make lint   ruff and mypy alone
# make docs   build the book into build/site; strict about links
# make mini   train the bundled model again (at most 90 minutes on two cores)
# make editors   train again the editors that learn for the bundled model (at most 15 minutes each on two cores)
# make bench  time every step beside the published procedure (under 15 minutes on two cores, nothing else running)
# make bench-gpu   the same for large shapes, on a GPU
# make clean  remove the environment and every cache

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Python compiles what is imported when it is; compiling all that is installed takes longer than to unpack it. What it has
# compiled must be kept then, whatever the surroundings say: else every process compiles torch anew, which takes 8 s.
export PYTHONDONTWRITEBYTECODE :=
# Which tests are run.
TESTS := -m "not long"
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.PHONY: demo docs test test-all lint pytest mini editors bench bench-gpu clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/kgedit demo

test: lint pytest

test-all: TESTS :=
test-all: lint pytest

# One process a core (at most four: each loads its own models), each with one thread; a file's tests stay together.
pytest: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(TESTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --clean
	@echo "The book: build/site/index.html"

mini: $(VENV)/.installed
	$(BIN)/kgedit mini train

editors: $(VENV)/.installed
	$(BIN)/kgedit train-editor --force --method mend
	$(BIN)/kgedit train-editor --force --method ke
	$(BIN)/kgedit train-editor --force --method serac

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.bench --edits 16 --cases 20 --tokens 8192 --seconds 1 --minutes 11 --out out/bench.json

bench-gpu: $(VENV)/.installed
	$(BIN)/python -m benchmarks.bench --gpu --out out/bench-gpu.json

# The stamps are older than the two files that decide what is installed, or they are up to date.
$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing kgedit into $(VENV) (some minutes the first time) ..."
	$(PIP_INSTALL) -e .
	@touch $@

# What a developer needs contains what a user needs, so both stamps are set.
$(VENV)/.installed-dev: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing kgedit and its development tools into $(VENV) (some minutes the first time) ..."
	$(PIP_INSTALL) -e '.[dev,docs]'
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

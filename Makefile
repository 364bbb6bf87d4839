# Each target first installs its packages into .venv, once. They are compiled on all cores, without their own tests: pip
# compiles everything on one core, which takes longer than the rest of the installation.
PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests?/' .venv/lib || true

# Constrains the build's packages too. A relative path, because pip splits this value at blanks.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install search summarize test test-realdata test-benchmarks test-faults test-cluster test-tools fuzz lint clean

install: .venv/installed

search: .venv/installed
	$(BIN)/python -m bloodtune.search --budget 64 $(ARGS)

summarize: .venv/installed
	$(BIN)/python analysis/summarize.py $(ARGS)

test: .venv/installed-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(ARGS)

test-realdata: .venv/installed-dev
	$(BIN)/python -m pytest -m realdata $(ARGS)

test-benchmarks: .venv/installed-dev
	$(BIN)/python -m pytest -m benchmark $(ARGS)

test-faults: .venv/installed-dev
	$(BIN)/python -m pytest -m faults $(ARGS)

test-cluster: .venv/installed-cluster
	$(BIN)/python -m pytest -m cluster $(ARGS)

test-tools: .venv/installed-tools
	$(BIN)/python -m pytest -m tools tests/tools $(ARGS)
	$(BIN)/python -m pytest tests/monitoring/test_trackers.py $(ARGS)

fuzz: .venv/installed-dev
	PYTHONPATH=.:analysis:tests/support $(BIN)/python tests/fuzz/fuzz.py $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 bloodtune analysis benchmarks # Windows opens files in another encoding
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --cache-dir .mypy_cache/darwin --platform darwin bloodtune analysis
	$(BIN)/mypy --cache-dir .mypy_cache/win32 --platform win32 bloodtune analysis

clean:
	rm -rf .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing into .venv (a minute or two)"
	$(BIN)/python -m pip install --quiet --no-compile -e .
	$(COMPILE)
	touch $@

.venv/installed-cluster: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --no-compile -e .[cluster-tests]
	$(COMPILE)
	touch $@

.venv/installed-tools: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --no-compile -e .[tools-tests]
	$(COMPILE)
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --no-compile -e .[dev]
	$(COMPILE)
	touch $@

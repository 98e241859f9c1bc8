# Everything runs in a virtual environment of its own. Needs python3 (3.11 or newer), make and the package index.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUTPUT ?= runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types format bench clean

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## Search for a small, accurate, sparse network on handwritten digits (a few minutes).
	$(BIN)/ksparse search digits --config examples/demo.toml --output $(OUTPUT) --resume

test: $(VENV)/.test-installed  ## Run the tests.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(VENV)/.test-installed  ## Run the tests that take minutes each.
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

lint: $(VENV)/.dev-installed  ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev-installed  ## Check types, of the packages as they are installed.
	rm -rf build/types && mkdir -p build/types
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/types .
	cp -r pyproject.toml benchmarks build/types
	cd build/types && $(abspath $(BIN))/pyright --pythonpath $(abspath $(BIN))/python

format: $(VENV)/.dev-installed  ## Format the sources.
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.installed  ## Time sparse layers against keras.layers.Dense.
	$(BIN)/python benchmarks/layer_step.py

clean:  ## Remove the virtual environment and all that was built (not runs/).
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Keras Sparse needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Use make PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) has no venv module: on Debian or Ubuntu, apt install python3-venv."; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.dev-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.test-installed $(VENV)/.installed

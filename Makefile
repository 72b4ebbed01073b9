# make run    set everything up and open the demo
# make test   set everything up and run all tests, the linters and the type checker
#
# Both need only Python 3.11 or newer with its venv module, and a network the first time. What they set up is
# kept in .venv and done again only when pyproject.toml, constraints.txt or the kind of Python changes.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Flags for installing torch: on a machine without a GPU,
#   make run TORCH_FLAGS='--index-url https://download.pytorch.org/whl/cpu'
# takes the build for the CPU, which is much the smaller one.
TORCH_FLAGS ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test lint clean

help:
	@sed -n 's/^# make/make/p' Makefile

run: $(VENV)/.installed
	@$(BIN)/multigpu-repl

# The tests run, and say how they went, even when the linters complain.
test: $(VENV)/.tested
	@status=0; $(MAKE) --no-print-directory lint || status=1; \
	  $(BIN)/python -m pytest -n $(WORKERS) || status=1; exit $$status

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "multigpu-repl needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing: on Debian, apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt $(TORCH_FLAGS) torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[hf,fairseq]'
	$(BIN)/multigpu-repl install fairseq --constraint constraints.txt
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[hf,fairseq,test]'
	@touch $@

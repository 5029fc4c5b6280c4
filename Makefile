# Every target sets up what it needs from a bare Python 3.11: a virtual environment in .venv, pinned by
# constraints.txt. Nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The tests start hundreds of programs, and each of them would compile the package anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults lint format bench compare clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make the virtual environment

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dispatch needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@

demo: $(STAMP) ## index the standard library's sources over both paths, and show what it cost
	$(BIN)/python examples/stdlib_search/main.py

# Four at a time, also on two cores: most of them wait for a process to start, or for a deadline. The order is that of
# tests/conftest.py, the longest first.
test: $(STAMP) ## run the tests; needs nothing on the machine
	$(BIN)/python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder

faults: $(STAMP) ## kill, cut and starve in earnest: the tests of tests/faults with all their rounds
	FAULTS=whole $(BIN)/python -m pytest -s tests/faults

lint: $(STAMP) ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

format: $(STAMP) ## mend what a machine can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure both paths against ThreadPoolExecutor, plain Celery, asyncio and Go; status 1: a bar was missed
	$(BIN)/python -m benchmarks.run

compare: $(STAMP) ## Celery on both brokers, dispatch, threads, asyncio and Go: tables, pictures, a page; QUICK=1: a look
	$(BIN)/python -m benchmarks.compare $(if $(QUICK),--quick)

clean: ## remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

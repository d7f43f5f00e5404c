# `make demo` and `make test` need only python3 and a package index: they create and fill VENV.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := xarray,s3,wire,icechunk,virtualizarr,dask,plot

# Tests start hundreds of processes: what they import is compiled once, not by each of them.
export PYTHONDONTWRITEBYTECODE :=

# Nothing here multiplies matrices, for which NumPy starts a thread a processor in each of them.
export OPENBLAS_NUM_THREADS := 1

.PHONY: demo fill test test-fast test-lowest test-mutants lint format docs clean

# Filled again whenever pyproject.toml is newer than the last fill.
$(VENV)/.filled: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --group test --group lint
	touch $@

fill: $(VENV)/.filled

demo: $(VENV)/.filled
	$(BIN)/parchunk demo demo

# Four at a time, as many wait for servers and processes; by files, the dearest first (tests/conftest.py).
PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.filled
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(VENV)/.filled
	$(BIN)/python -m pytest -m 'not slow and not s3'

# Changes the core line by line and names what no test noticed; takes an hour or more.
test-mutants: $(VENV)/.filled
	$(BIN)/python -m benchmarks.mutants

# The lowest versions that pyproject.toml promises, in an environment of its own: tests/lowest.txt
# names them, and tests/promises/test_lowest.py compares what is installed with it. The S3 server is in
# another, as it wants a botocore that the lowest s3fs does not.
LOWEST := .venv-lowest
$(LOWEST)/.filled: pyproject.toml tests/lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(LOWEST)/bin/python -m pip install --quiet --constraint tests/lowest.txt --editable '.[$(EXTRAS)]' --group test-tools
	$(PYTHON) -m venv $(LOWEST)/server
	$(LOWEST)/server/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(LOWEST)/server/bin/python -m pip install --quiet --group server
	touch $@

test-lowest: $(LOWEST)/.filled
	PATH="$(CURDIR)/$(LOWEST)/server/bin:$$PATH" PARCHUNK_LOWEST=1 $(LOWEST)/bin/python -m pytest $(PARALLEL)

lint: $(VENV)/.filled
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.filled
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site, into build/site: a link that leads nowhere is an error.
docs: $(VENV)/.filled
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python -m docs.site build/pages
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf .venv .venv-3.13 $(LOWEST) demo build

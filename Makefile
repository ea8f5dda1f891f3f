# Everything that a person does here. Needs Python 3.11 or newer, make and the network; no root.
# The first target that needs it makes .venv from requirements-dev.txt, by pip's configuration of this machine.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# A candidate must run (a pyenv shim may name a version that is not there), be new enough, and make a venv with pip.
PYTHON ?= $(shell for each in python3.11 python3 python3.13 python3.12 python3.14 /usr/bin/python3; do \
	"$$each" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	{ echo "$$each"; break; }; done)
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 2
TESTS ?= tests
PYTEST_OPTIONS ?=
SOAK ?=

# What runs here is not to depend on the folder that Python or a shell happens to prefer.
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/ready ## build an image, show what is in it, sign and verify it, build it again, run it and fetch its page
	@$(BIN)/python tools/demo.py

.PHONY: test
test: lint unit ## run everything that CI runs: lint, types, layers, docs, unit, interop and end-to-end tests

.PHONY: unit
unit: $(VENV)/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 10 $(PYTEST_OPTIONS) $(TESTS)

.PHONY: lint
lint: $(VENV)/ready ## check style, format, types, and that imports go down only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fmt
fmt: $(VENV)/ready ## format the code and fix what can be fixed by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/ready ## measure this machine against other tools, into bench/results
	$(BIN)/python -m bench

.PHONY: soak
soak: $(VENV)/ready ## run what is too long for CI (hours): all samples, concurrency under load, years from now (SOAK=STEP for one)
	JOBS=$(JOBS) $(BIN)/python tools/soak.py $(SOAK)

.PHONY: docs
docs: $(VENV)/ready ## write the documentation as pages into site/
	$(BIN)/python tools/site.py site

# The program that makes the pins is pinned as well, by itself.
PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --no-annotate --no-header

.PHONY: pins
pins: $(VENV)/ready ## renew requirements-dev.txt and requirements-pins.txt from pyproject.toml
	$(INSTALL) --requirement requirements-pins.txt
	$(PIN) --extra dev pyproject.toml --output-file requirements-dev.txt
	$(PIN) --group pins --output-file requirements-pins.txt

.PHONY: clean
clean: ## remove what the targets above made
	rm -rf $(VENV) site build/out .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The pins are complete: pip is to choose nothing by itself. Without --no-deps, pips before 23.1 look for the newest
# release of what is required with an extra, and refuse it for want of a hash; and without --only-binary, a package
# without a wheel for this Python would be built with whatever build tools are newest. `pip check` compares afterwards.
INSTALL = $(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes

$(VENV)/ready: requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer with venv was found" >&2; \
		echo "  hint: install one (on Debian: apt-get install python3-venv) or say PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf $(VENV)
	"$(PYTHON)" -m venv $(VENV)
	$(INSTALL) --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

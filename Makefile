# All development tasks. They need Python 3.11 or newer, make and network access, but not root.
# The first target that needs .venv creates it from requirements-dev.txt. pip uses its configuration of this machine.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# A candidate must run (a pyenv shim can exist for a version that is not installed), be new enough, and be able to
# create a venv with pip.
PYTHON ?= $(shell for candidate in python3.11 python3 python3.13 python3.12 python3.14 /usr/bin/python3; do \
	"$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	{ echo "$$candidate"; break; }; done)
VENV ?= .venv
BIN = $(VENV)/bin
# One more than processors, because tests also wait for disks and other programs.
JOBS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1)))
TESTS ?= tests
PYTEST_OPTIONS ?=
SOAK ?=

# Packages in the user's site-packages must not affect what runs here.
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/ready ## build an image, inspect, sign and verify it, rebuild it, run it and fetch a page from it
	@$(BIN)/python tools/demo.py

.PHONY: test
test: lint unit ## run everything that CI runs: lint, types, layers, docs, unit, interop and end-to-end tests

.PHONY: unit
unit: $(VENV)/ready
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 10 $(PYTEST_OPTIONS) $(TESTS)

.PHONY: lint
lint: $(VENV)/ready ## check style, format, types, and that imports only go to lower layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fmt
fmt: $(VENV)/ready ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/ready ## run the benchmarks against other tools and write bench/results
	$(BIN)/python -m bench

.PHONY: soak
soak: $(VENV)/ready ## run tests that are too long for CI (hours): all samples, concurrency under load, future dates (SOAK=STEP runs one step)
	JOBS=$(JOBS) $(BIN)/python tools/soak.py $(SOAK)

.PHONY: docs
docs: $(VENV)/ready ## build the documentation site in site/
	$(BIN)/python tools/site.py site

# uv, which resolves the pins, is pinned as well, in a file of its own.
PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	--no-emit-index-url --no-annotate --no-header

.PHONY: pins
pins: $(VENV)/ready ## update requirements-dev.txt and requirements-pins.txt from pyproject.toml
	$(INSTALL) --requirement requirements-pins.txt
	$(PIN) --extra dev pyproject.toml --output-file requirements-dev.txt
	$(PIN) --group pins --output-file requirements-pins.txt

.PHONY: clean
clean: ## remove everything that the targets above created
	rm -rf $(VENV) site build/out .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# The pins are complete, so pip must not choose any version itself. Without --no-deps, pip before 23.1 looks for the
# newest release of a requirement that has an extra, and fails because that release has no hash. Without --only-binary,
# pip would build a package that has no wheel for this Python, with the newest build tools. `pip check` then verifies
# that the installed packages satisfy each other.
INSTALL = $(BIN)/python -m pip install --quiet --no-deps --only-binary :all: --require-hashes

$(VENV)/ready: requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer with venv was found" >&2; \
		echo "  hint: install one (on Debian: apt-get install python3-venv) or set PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf $(VENV)
	"$(PYTHON)" -m venv $(VENV)
	$(INSTALL) --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

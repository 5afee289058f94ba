# make demo | test | test-slow | lint | bench | clean
#
# Needs Python 3.11 or newer and nothing else: the first call creates .venv and fills it from
# requirements.lock. Later calls install again only if the lock or pyproject.toml has changed.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP   := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The first interpreter that runs, is new enough and can make environments. Being on the PATH is
# not enough: version managers leave commands there that only print an error.
CAN_INSTALL := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3 python; do \
	"$$candidate" -c "$(CAN_INSTALL)" >/dev/null 2>&1 && { echo "$$candidate"; break; }; done)

# One thread per worker: pytest starts two processes, and two pools of threads on two cores fight.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 MPLBACKEND=Agg

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint bench clean
.DELETE_ON_ERROR:

help:
	@sed -n 1p Makefile

demo: $(STAMP)
	$(BIN)/causalkit demo

test: lint
	$(ONE_THREAD) $(BIN)/pytest -m "not slow" -n 2

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/pytest -m slow -n 2

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@for name in image invalid_iv panel rate study transtee; do \
		echo "== benchmarks/$$name.py"; $(BIN)/python "benchmarks/$$name.py" || exit 1; \
	done

clean:
	rm -rf $(VENV) causalkit-demo build dist .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "causalkit needs Python 3.11 or newer with the venv module, and none was found." >&2; \
		echo "Install it (on Debian and Ubuntu: python3 and python3-venv), or name yours:" >&2; \
		echo "    make PYTHON=/path/to/python3.11 test" >&2; \
		exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing requirements.lock into $(VENV); the first time takes a few minutes"
	@$(PIP) install --requirement requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

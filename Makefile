# `make help` lists the targets; `make bench` and `make test` each work as the first command in a fresh clone.
#
#   VENV=DIR       the virtual environment, made if it is not there       (default .venv)
#   PYTHON=FILE    the interpreter to make it with, 3.11 or newer         (default: the first of that age in PATH)
#   ARGS='...'     further arguments of bench, test and test-all          (make bench ARGS='seed=0,1,2')

VENV  ?= .venv
ARGS  ?=
JOBS  ?= 2

BIN   := $(VENV)/bin
STAMP := $(VENV)/.vssl-installed

PYTHONS    := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

# Tests that need neither a training nor a video file of any length.
FAST  := tests/config tests/records tests/report tests/losses tests/nn tests/statistics tests/cli/test_arguments.py \
         $(addprefix tests/training/test_,schedules.py budgets.py) \
         $(addprefix tests/video/test_,draws.py sampling.py digests.py) tests/packaging/test_setup.py

# One thread a process: tests run side by side, and sums do not depend on the number of threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
# In the order of their names: by default long files of few tests come last, and one process waits for the other.
SPREAD := --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install bench test test-all check static format-check lint types imports fast format docs clean FORCE

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@sed -n '/^#   [A-Z]/s/^# //p' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## vssl and all it needs, into a virtual environment; instant when nothing changed

bench: $(STAMP)  ## the comparison of `vssl bench quick`: ten minutes on two cores, a table at the end
	$(BIN)/vssl bench quick $(ARGS)

test: $(STAMP)  ## all tests but the slow ones
	$(PYTEST) $(SPREAD) $(ARGS)

test-all: $(STAMP)  ## all tests, the slow ones and the full README included
	$(PYTEST) $(SPREAD) -m "" $(ARGS)

check: static fast  ## format, lint, types, import contracts, fast tests

static: format-check lint types imports  ## those of `check` that run no code of ours

format-check: $(STAMP)
	$(BIN)/ruff format --check --quiet .

lint: $(STAMP)
	$(BIN)/ruff check --quiet .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --no-logo

fast: $(STAMP)
	$(PYTEST) --quiet $(FAST)

format: $(STAMP)  ## rewrite files as `make check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

docs: $(STAMP)  ## run what README and docs show, follow their links
	$(PYTEST) tests/docs $(ARGS)

clean:  ## remove caches and builds; environments, runs and made data stay
	rm -rf build dist *.egg-info .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(wildcard vssl methods datamodules tests benchmarks) -type d -name __pycache__ -prune -exec rm -rf {} +

# The stamp holds the folder of the clone: an environment that another clone has used is installed into again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(MAKE_VENV); }
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@printf '%s\n' '$(CURDIR)' > $@

define MAKE_VENV
for python in $(PYTHONS); do \
  if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
    "$$python" -m venv $(VENV) && exit 0; \
    echo "error: $$python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
    exit 1; \
  fi; \
done; \
echo "error: vssl needs Python 3.11 or newer; looked at:" >&2; \
for python in $(PYTHONS); do echo "  $$python: $$("$$python" --version 2>&1 | head -n 1)" >&2; done; \
echo "  hint: name one, for example: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3.12" >&2; \
exit 2
endef

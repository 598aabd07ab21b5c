# usercenter: everything that one types. `make demo` and `make test` install what they need themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
WORKERS ?= 2
# what is compiled is kept, whatever the machine says: hundreds of processes are started from it
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo run dev test check faults fmt lint bench clean

help: ## these words
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(RUN) ## all six events and everything that follows, on embedded parts
	@$(BIN)/usercenter demo

run: $(RUN) ## the service on embedded parts, until Ctrl-C
	@$(BIN)/usercenter run

dev: $(DEV) ## pytest and the other tools, into .venv; runs nothing

test: $(DEV) ## all tests, against real Kafka, PostgreSQL, Valkey and SMTP (make test WORKERS=0: in one process)
	@$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

check: $(DEV) lint ## what CI checks: lint, types, layers, then the tests
	@$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

faults: $(DEV) ## every fault, the long ones too; writes docs/reliability.md (make faults ARGS="--seed 7 --kills 60")
	@$(PYTEST) tests/faults -m "long or not long" --reliability $(ARGS)

lint: $(DEV) ## style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

fmt: $(DEV) ## mend the style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(BENCH) ## measure against others in the same run (make bench MEASURE=relay runs one)
	@$(BIN)/python -m bench $(MEASURE) $(ARGS)

clean: ## remove the environment, caches and embedded data of this folder
	rm -rf $(VENV) .usercenter logs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "usercenter needs Python 3.11 or newer: make PYTHON=python3.12 demo" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)

$(RUN): requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what the service needs (once)" >&2
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what the tests need (once)" >&2
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(RUN)

$(BENCH): requirements/bench.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what the measurements need (once)" >&2
	@$(PIP) install --require-hashes -r requirements/bench.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(RUN)

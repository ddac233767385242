.PHONY: install demo test lint bench fmt lock help
.DEFAULT_GOAL := help

PYTHON ?= python3
UV     := $(shell command -v uv 2>/dev/null)
BIN    := .venv/bin
STAMP  := .venv/installed
ARGS   ?=
CODE   := topics streams sinks deploy tests

help: ## these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## make .venv from requirements.lock (with uv where it is found, else pip)

demo: $(STAMP) ## everything once, on a real Kafka, with real retail data; ends with CONVERGED (ARGS="--help" shows options)
	@$(BIN)/python -m deploy.local demo $(ARGS)

test: $(STAMP) ## all tests, against a real embedded Kafka (ARGS="-k square" picks some; KAFKA_BOOTSTRAP=host:port uses yours)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(STAMP) ## style, types and formatting
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/mypy

bench: $(STAMP) ## how fast a backlog drains and what each stage costs, on a quiet machine (ARGS="--events 1000000")
	@$(BIN)/python -m tests.bench.drain $(ARGS)

fmt: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix --quiet $(CODE)
	@$(BIN)/ruff format $(CODE)

# Again only when the lock changed. Hashes are checked; the build of the project itself takes hatchling from the lock,
# not from the network.
$(STAMP): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "stockstream needs Python 3.11 or newer: make install PYTHON=python3.12" >&2; exit 1; }
	@echo "installing what requirements.lock names into .venv (once)"
ifneq ($(UV),)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

lock: ## resolve pyproject.toml again into requirements.lock (needs uv)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --quiet --custom-compile-command "make lock" -o requirements.lock

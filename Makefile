# The eight verbs of the house. Each sets up what it needs: a fresh machine needs Python 3.11 or newer, and make.
#
#   make demo     six months of card payments rehearsed, and its page at http://127.0.0.1:8000
#   make test     everything that must hold before a change goes in: lint, types, layers, tests
#   make setup    the environment in .venv, from pinned and hashed requirements
#   make lint     style, format, types and layers only
#   make docs     the checks of the documents: links, commands, examples
#   make bench    the numbers that the documents quote
#   make serve    the demo's system as a service
#   make clean    take away what the other verbs made
#
# Also `make format`; `make contracts`, which holds all contracts against the Data Contract CLI; `make lock` after a
# change of the dependencies in pyproject.toml, `make lock LOCK=--upgrade` for
# newer versions. Options of a command go in ARGS: make demo ARGS="--days 30".

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.PHONY: help setup demo test lint format docs contracts bench serve clean lock

BIN := .venv/bin
ARGS ?=
LOCK ?=

help:
	@sed -n 's/^#   //p' Makefile

setup: .venv/dev.stamp

demo: .venv/run.stamp
	$(BIN)/roadworthy demo $(ARGS)

serve: .venv/run.stamp
	$(BIN)/roadworthy serve $(ARGS)

# The browser is looked for first, because a missing one should be known before the minutes that tests take.
test: .venv/dev.stamp
	scripts/chromium > .venv/chromium.path
	scripts/postgres > .venv/postgres.path
	$(MAKE) --no-print-directory lint
	CHROMIUM="$$(cat .venv/chromium.path)" $(BIN)/pytest -n 2 --dist loadfile

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/dev.stamp
	$(BIN)/pytest tests/test_docs.py tests/test_docs_walked.py tests/test_tutorial.py tests/test_tidy.py

contracts: .venv/dev.stamp
	scripts/lint-contracts $(ARGS)

bench: .venv/dev.stamp
	for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean:
	rm -rf .venv .venv-datacontract .roadworthy .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# What a stamp stands for is installed; it is older than the files it depends on when there is something to do.
.venv/run.stamp: requirements/run.txt requirements/uv.txt pyproject.toml
	scripts/setup requirements/run.txt
	touch $@

.venv/dev.stamp: requirements/dev.txt requirements/uv.txt pyproject.toml
	scripts/setup requirements/dev.txt
	touch .venv/run.stamp $@

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

# dev.txt first: what runs in production is what was tested, so run.txt takes its versions from there.
lock: .venv/dev.stamp
	$(COMPILE) --group build --group dev pyproject.toml -o requirements/dev.txt $(LOCK)
	$(COMPILE) --group build pyproject.toml -c requirements/dev.txt -o requirements/run.txt $(LOCK)
	echo "uv" | $(COMPILE) - -o requirements/uv.txt $(LOCK)
	echo "datacontract-cli" | $(COMPILE) - -o requirements/datacontract.txt $(LOCK)

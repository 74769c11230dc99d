# The handful of commands a contributor needs. `make` alone lists them.
.DEFAULT_GOAL := help
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
.PHONY: help demo demo-down test unit lint format bench conformance clients clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

demo: ## install what is missing, start a cluster here and run the example on it
	@scripts/setup
	@scripts/demo

demo-down: ## take the cluster and everything it made off this machine
	@scripts/demo down

test: ## install what is missing, then run all checks and all tests, real containers included
	@scripts/setup dev
	@$(MAKE) --no-print-directory lint
	$(SUDO) .venv/bin/pytest --numprocesses 2 --dist loadgroup

unit: ## the tests that need neither root nor containers
	@scripts/setup dev
	.venv/bin/pytest -m 'not node'

lint: ## formatting, style, types and layers
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: ## put the code into its one form
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

bench: ## measure the hot paths; figures go to the terminal (docs/performance.md explains them)
	@scripts/setup dev
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(SUDO) .venv/bin/python $$benchmark || exit 1; done

conformance: ## run Kubernetes' own conformance specs against two nodes (slow; the first run builds the suite)
	@scripts/setup dev
	@scripts/conformance

clients: ## walk through Motet with other clients: older kubectls, Helm, Traefik, Spark, Ansible, Python's (slow; downloads them once)
	@scripts/setup dev
	@scripts/clients

clean: ## remove .venv and caches (not the cluster: that is demo-down)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# Taskdock's commands. A fresh machine needs Python 3.11+, git, make and Node with npm; the rest is fetched by the
# locks in requirements/ into .venv. A stamp file there marks each level, so a second run starts at once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := run
.NOTPARALLEL:

# What the caller has activated must not leak into our own environment.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_STAMP := $(VENV)/.run-stamp
DEV_STAMP := $(VENV)/.dev-stamp

# Last on PATH: the dev lock's node and npm stand in where the machine has none.
export PATH := $(PATH):$(CURDIR)/$(BIN)

GIT_SPICE := .tools/git-spice
GIT_SPICE_VERSION := $(shell sed -n 's/^[[:space:]]*go\.abhg\.dev\/gs \(v[0-9.]*\)$$/\1/p' tools/go.mod)

# An interpreter that exists but is too old, or a shim that leads nowhere, is passed over.
FIND_PYTHON := for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$python"; break; fi; done
ROUNDS ?=
SEEDS ?=
SEED ?=
PROVIDER ?= local
ONLY ?=
PYTHON ?= $(shell $(FIND_PYTHON))

# The project itself, editable, with nothing fetched that the lock does not pin.
INSTALL_SELF := $(PIP) install --no-index --no-deps --no-build-isolation --editable .

.PHONY: run demo test e2e soak planted matrix check static bench format diagrams lock wheel setup setup-run clean help faults mutants git-spice stack-tool

# The demo shows a stack with the git-spice that was built here, else with the one on the path, else says that there is none.
DEMO := PATH="$(CURDIR)/.tools:$$PATH" $(BIN)/taskdock demo --home .taskdock

run: setup-run stack-tool ## set up what running needs, then the demo task, and stay up (the default)
	$(DEMO) --stay

demo: setup-run stack-tool ## the same demo, to its end; exits 0 or 1
	$(DEMO)

# Most tests wait for real processes more than they compute, so there are more workers than processors here.
WORKERS ?= 4

# Worlds that nobody has seen before, where a machine is there for nothing else: each run has its own. The first seed is
# printed, and a broken world with the command that runs it again.
SIMULATE := $(BIN)/python -m taskdock.testing.simulation --jobs 0
CI_SECONDS := 120

test: static stack-tool ## set up everything, check, run every test; lists each skip with its reason
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
	$(if $(filter true,$(CI)),$(SIMULATE) --seconds $(CI_SECONDS))

e2e: setup ## the end-to-end tests on PROVIDER=local, local-process, local-bubblewrap, docker or daytona-standin
	TASKDOCK_PROVIDER=$(PROVIDER) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/e2e

# With one of the two numbers given, only that half runs.
soak: setup stack-tool ## kill it ROUNDS=500 times, then simulate SEEDS=2000 worlds; or one of both; SEED=n begins there
	$(if $(SEEDS),$(if $(ROUNDS),$(KILL)),$(KILL))
	$(if $(SEEDS),$(if $(ROUNDS),$(REMOTE)),$(REMOTE))
	$(if $(ROUNDS),$(if $(SEEDS),$(SOAK)),$(SOAK))

KILL = $(KILL_TASKS) && $(KILL_JOBS)
KILL_TASKS = TASKDOCK_SOAK_ROUNDS=$(or $(ROUNDS),500) TASKDOCK_SOAK_SEED=$(SEED) $(BIN)/python -m pytest -q -s tests/e2e/test_soak.py
KILL_JOBS = TASKDOCK_STACK_ROUNDS=50 TASKDOCK_SOAK_SEED=$(SEED) $(BIN)/python -m pytest -q -n $(WORKERS) tests/integration/stack/test_kill.py
# Kills in creates at a remote provider, 200 unless ROUNDS says otherwise, and 1,000 creates in chaos.
REMOTE = TASKDOCK_REMOTE_ROUNDS=$(or $(ROUNDS),200) TASKDOCK_REMOTE_CREATES=1000 TASKDOCK_SOAK_SEED=$(SEED) \
	$(BIN)/python -m pytest -q -s tests/e2e/test_remote_kills.py tests/e2e/test_remote_chaos.py
SOAK = $(SIMULATE) --seeds $(or $(SEEDS),2000) --keep-going $(if $(SEED),--first $(SEED))

planted: setup ## bugs put into the product, and what in the simulation finds each; BUG=key-not-stored for one
	PYTHONPATH=tests $(BIN)/python -m simulation.planted $(BUG)

matrix: setup ## kill it at every gate of every port; PROVIDER=local-process or docker, ONLY=provider.ensure
	PYTHONPATH=tests $(BIN)/python -m e2e.matrix $(PROVIDER) --jobs $(WORKERS) $(if $(ONLY),--only "$(ONLY)")

mutants: setup ## change the core in small ways, each must fail a test; MODULES="turns tab", SAMPLE=n, JOBS=n, BROAD=1, AGAIN=1
	$(BIN)/python tools/mutants.py $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE)) --jobs $(or $(JOBS),1) \
		$(if $(BROAD),--broad) $(if $(AGAIN),--again)

check: static ## what must hold before each commit: static, then import contracts, bands, words, locks
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

static: setup ## ruff, mypy and pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

faults: setup ## plant each fault in a real provider, a store of clones, a namer, a clock, and see that the kit finds it
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -v -k "fault" tests/conformance

bench: setup ## measure against the targets, ten minutes; SIZE=quick for one, JSON=path to write the rows
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python benchmarks/run.py --size $(or $(SIZE),full) $(if $(JSON),--json "$(JSON)")

format: setup ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

diagrams: setup ## draw docs/diagrams anew from the machines in the core, and docs/transitions.md from their tests
	$(BIN)/python tools/diagrams.py
	$(BIN)/python tools/row_cases.py

lock: setup ## write the locks anew; make lock LOCK=--upgrade moves them to the newest versions
	$(BIN)/python tools/lock.py $(LOCK)

wheel: setup ## build sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation

git-spice: $(GIT_SPICE) ## build the git-spice that tools/go.mod pins; needs Go 1.26 or newer
	@echo "git-spice $(GIT_SPICE_VERSION) is in $(GIT_SPICE)"

# Without Go the demo shows no stack, and tests of stacks skip and say so. With it, a build that fails is told, and fails CI.
stack-tool:
	@if ! command -v go >/dev/null 2>&1; then echo "no Go here: git-spice is not built"; \
	elif ! $(MAKE) --no-print-directory git-spice; then \
		echo "git-spice could not be built (see above)" >&2; [ "$${CI:-}" != true ]; fi

setup: $(DEV_STAMP) ## everything that tests need, into .venv

setup-run: $(RUN_STAMP) ## only what running needs, into .venv

clean: ## remove what make made, .taskdock (tasks of the demo) excepted
	rm -rf $(VENV) .tools build dist .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Taskdock needs Python 3.11 or newer; none was found on PATH." >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(RUN_STAMP): requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements/run.txt
	$(INSTALL_SELF)
	@touch $@

# The dev lock holds the run lock (tests/architecture/test_locks.py), so one installation settles both.
$(DEV_STAMP): requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	$(INSTALL_SELF)
	@touch $(RUN_STAMP) $@

# Never `go mod tidy` here: it asks for test dependencies of dependencies, and one of them is not served.
$(GIT_SPICE): tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	@echo "building git-spice $(GIT_SPICE_VERSION): about a minute the first time, a second afterwards"
	go build -C tools -mod=readonly -trimpath -ldflags "-s -w -X main._version=$(GIT_SPICE_VERSION)" -o ../$@ go.abhg.dev/gs
	@touch $@

# Countersign. `make` lists the targets. Needs Python 3.11, 3.12 or 3.13; GNU make 3.81 or newer; a POSIX shell.
.POSIX:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' && { echo $$p; break; }; done)
# The files name everything with its digest; what a package says it needs is not asked for again (older pips then want other releases).
PIP := -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
RUN := .venv-run/bin/python
DEV := .venv/bin/python
SCIENTIST := var/demo/scientist
PYTEST := $(DEV) -m pytest

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

python:
	@test -n "$(PYTHON)" || { echo "Countersign needs Python 3.11, 3.12 or 3.13; set PYTHON=/path/to/python3.11" >&2; exit 1; }

.venv-run/done: requirements.txt builders/requirements.txt | python
	@echo "Installing portal and worker (once)"
	@rm -rf .venv-run && $(PYTHON) -m venv .venv-run && $(RUN) $(PIP) -r builders/requirements.txt && touch $@

.venv/done: requirements-dev.txt | python
	@echo "Installing the developer's environment (once)"
	@$(PYTHON) -m venv .venv && $(DEV) $(PIP) -r requirements-dev.txt && touch $@

$(SCIENTIST)/libraries: examples/the_voice/requirements.txt | python
	@echo "Installing the scientist's environment (once)"
	@rm -rf $(SCIENTIST) && mkdir -p var/demo && $(PYTHON) -m venv $(SCIENTIST) \
		&& $(SCIENTIST)/bin/python $(PIP) -r examples/the_voice/requirements.txt && touch $@

$(SCIENTIST)/done: $(SCIENTIST)/libraries $(shell find client/countersign client/pyproject.toml formats -name '*.py' -o -name pyproject.toml)
	@$(SCIENTIST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall ./client && touch $@

demo: .venv-run/done $(SCIENTIST)/done ## The main job from end to end on embedded defaults; stays up until Ctrl-C
	@$(RUN) tools/demo.py

run: .venv-run/done ## Start an empty portal and a worker; prints a one-time set-up link
	@$(RUN) tools/run.py

dev: .venv-run/done $(SCIENTIST)/done ## Like demo, with the portal reloading when its code changes
	@COUNTERSIGN_RELOAD=1 $(RUN) tools/demo.py

lint: .venv/done ## Style, types and contracts between packages
	@$(DEV) -m ruff check . && $(DEV) -m ruff format --check . && $(DEV) -m mypy && PYTHONPATH=client .venv/bin/lint-imports --no-cache

check: lint ## What lint does, and the quick tests
	@$(PYTEST) -n 3 --dist loadgroup -m "not engine and not browser and not index and not slow and not long"

test: lint ## The whole suite: both databases, engine and browser where they are there
	@if [ -n "$$COUNTERSIGN_TEST_POSTGRES" ] || ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; \
		then $(PYTEST) -n 3 --dist loadgroup; else tools/postgres $(PYTEST) -n 3 --dist loadgroup; fi

soak: .venv/done ## The long forms of the tests; writes docs/soak.md
	@rm -f var/soak.xml; COUNTERSIGN_SOAK=1 tools/postgres $(PYTEST) -m "slow or soak" --junitxml var/soak.xml; $(DEV) tools/soak_report.py var/soak.xml

reproduce: .venv-run/done ## Bake the demo's image anew in two clean copies of this checkout, and compare
	@test -e var/demo/countersign.db || CI=true $(MAKE) demo
	@$(RUN) tools/reproduce.py

bench: .venv/done .venv-run/done ## Measure, as ratios against limits taken in the same run
	@tools/postgres $(DEV) -m bench

bench-serving: .venv/done ## Measure serving beside MLServer, BentoML, MLflow and FastAPI (installs them once, into var/bench)
	@$(DEV) -m bench.serving

base-image: .venv-run/done ## Make the base image from Debian packages, where nothing can be pulled (needs root)
	@COUNTERSIGN_PYTHON=$(RUN) tools/base-image

compiled: .venv/done ## Measure which models compile, and write docs/compiled.md
	@$(DEV) tools/compiled-table

lock: ## Resolve the requirement files again
	@for file in requirements builders/requirements serving/requirements builders/compile/requirements examples/the_voice/requirements requirements-dev; do \
		.venv-run/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --overrides tools/lock-overrides.txt \
		--custom-compile-command "make lock" $$file.in -o $$file.txt; done

.PHONY: help python demo run dev lint check test soak reproduce bench bench-serving base-image compiled lock

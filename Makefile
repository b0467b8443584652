# Needs Python 3.11 or newer, make and a package registry; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VERIFY_LOG := $(VENV)/.test-verify.log

# A tracer slows child processes and whole searches: these, and the slow tests of verify, run without coverage.
UNTRACED := $(addprefix tests/verify/test_,check.py config.py cpython.py determinism.py \
	differential.py examples.py lock_order_random.py programs20.py observe_children.py pytest_plugin.py uncontrolled.py) \
	$(addprefix tests/stress/test_,hang_plugin.py hang_zoo.py reproduce_real.py)

LATER := $(filter-out $(UNTRACED),$(wildcard tests/verify/test_[i-z]*.py))

.PHONY: hunt test test-verify lint bench clean
.DEFAULT_GOAL := hunt

hunt: $(STAMP)
	@echo "hunt: migrate a real guest, then search the July 2012 design for what hangs it"
	@$(BIN)/stage3 hunt

test: $(STAMP)
	@echo "test: run the whole suite on two cores, most of it under coverage; most tests of verify are shown at the end"
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test-verify >$(VERIFY_LOG) 2>&1 & verify=$$!; \
	trap 'kill $$verify; exit 130' INT TERM; failed=0; \
	$(BIN)/coverage run --parallel-mode -m pytest --ignore=tests/verify $(UNTRACED:%=--ignore=%) || failed=1; \
	echo "test: run what a tracer upsets without one"; \
	$(BIN)/python -m pytest $(UNTRACED) || failed=1; \
	echo "test: run half of the slow tests of verify"; \
	$(BIN)/python -m pytest -m slow $(LATER) || failed=1; \
	wait $$verify || failed=1; \
	echo "test: the other tests of verify"; cat $(VERIFY_LOG); \
	echo "test: what the suite covers"; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report || failed=1; \
	exit $$failed

# The part of `test` that the other core runs. In the background, so that an interrupt need not wait for pytest.
test-verify: $(STAMP)
	@trap 'kill $$!; exit 130' INT TERM; failed=0; \
	$(BIN)/coverage run --parallel-mode -m pytest -p no:cacheprovider tests/verify -m "not slow" \
		$(UNTRACED:%=--ignore=%) & wait $$! || failed=1; \
	$(BIN)/python -m pytest -p no:cacheprovider tests/verify -m slow \
		$(UNTRACED:%=--ignore=%) $(LATER:%=--ignore=%) & \
	wait $$! || failed=1; \
	exit $$failed

lint: $(STAMP)
	@echo "lint: ruff, its formatter, mypy and the import contracts"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP)
	@echo "bench: executions and steps per second of the exploration"
	@$(BIN)/python -m bench.exploration

clean:
	@echo "clean: remove .venv, caches and stage3-out"
	@rm -rf $(VENV) stage3-out build dist .coverage .coverage.* \
		.pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# pip older than 25.1 does not know dependency groups, so pip comes first.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
		"stage3 needs Python 3.11 or newer, this is %d.%d: say make PYTHON=python3.11" % v[:2])'
	@echo "setup: make $(VENV) with $$($(PYTHON) --version) and install stage3 and its tools there"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable . --group dev
	@touch $@

# Needs Python 3.11 or newer, make and a package registry; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VERIFY_LOG := $(VENV)/.test-verify.log

# Two cores share the suite: most of verify's tests, and all others.
FIRST := $(wildcard tests/verify/test_[a-r]*.py)

# A tracer upsets or slows child processes and whole searches: these, and verify's slow tests, are not measured.
UNTRACED := $(addprefix tests/verify/test_,check.py config.py cpython.py determinism.py \
	differential.py examples.py lock_order_random.py programs20.py observe_children.py pytest_plugin.py uncontrolled.py) \
	$(addprefix tests/stress/test_,hang_plugin.py hang_zoo.py reproduce_real.py)

.PHONY: hunt test coverage lint bench clean
.DEFAULT_GOAL := hunt

hunt: $(STAMP)
	@echo "hunt: migrate a real guest, then search the July 2012 design for what hangs it"
	@$(BIN)/stage3 hunt

test: $(STAMP)
	@echo "test: run the whole suite on two cores; most tests of verify is shown at the end"
	@$(BIN)/python -m pytest -p no:cacheprovider $(FIRST) >$(VERIFY_LOG) 2>&1 & verify=$$!; \
	trap 'kill $$verify; exit 130' INT TERM; failed=0; \
	$(BIN)/python -m pytest $(FIRST:%=--ignore=%) || failed=1; \
	wait $$verify || failed=1; \
	echo "test: most tests of verify"; cat $(VERIFY_LOG); \
	exit $$failed

coverage: $(STAMP)
	@echo "coverage: what the tests reach, but for those that a tracer upsets; twenty minutes"
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run --parallel-mode -m pytest -p no:cacheprovider tests/verify -m "not slow" \
		$(UNTRACED:%=--ignore=%) >$(VERIFY_LOG) 2>&1 & verify=$$!; \
	trap 'kill $$verify; exit 130' INT TERM; failed=0; \
	$(BIN)/coverage run --parallel-mode -m pytest --ignore=tests/verify $(UNTRACED:%=--ignore=%) || failed=1; \
	wait $$verify || failed=1; \
	cat $(VERIFY_LOG); \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage report || failed=1; \
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

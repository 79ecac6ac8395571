# `make demo` and `make test` start from nothing but make and Python 3.11 or newer: they make their
# own virtual environment, .venv, with only what they need. A stamp file per set-up says that it is
# done; it is older than pyproject.toml when something has to be installed anew.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

LOWEST := .venv-lowest

.PHONY: demo test suite test-all test-lowest lint docs bench chaos clean
.DELETE_ON_ERROR:

DEMO := .demo

# Writes, then reads in a second process, in a fresh database under .demo/, and looks into that.
demo: $(VENV)/.stamp-run
	@rm -rf $(DEMO) && mkdir $(DEMO)
	@$(BIN)/python examples/assistant.py --db $(DEMO)/assistant.db
	@$(BIN)/python examples/assistant.py --db $(DEMO)/assistant.db
	@sh examples/look.sh $(BIN)/python $(DEMO)/assistant.db

# Everything that has to pass: the linters first, because they take seconds.
test: lint suite

suite: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -n auto

# The suite on each Python that this machine has, in an environment of its own.
test-all:
	@summary=; passed=; failed=; \
	for v in 3.11 3.12 3.13 3.14; do \
		found=; \
		for p in python$$v $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$v.*/bin/python; do \
			test -z "$$found" && $$p -c '' 2>/dev/null && found=$$p; \
		done; \
		if test -z "$$found"; then said='not found'; \
		elif $(MAKE) suite PYTHON=$$found VENV=.venvs/$$v; then said="passed, $$found"; passed=1; \
		else said="FAILED, $$found"; failed=1; fi; \
		summary="$${summary}Python $$v: $$said\n"; \
	done; printf "$$summary"; test -n "$$passed" && test -z "$$failed"

# On exactly the floors of pyproject.toml, which are true if this passes. What it does not run needs
# other projects beside, looks at text only, or was recorded of later releases.
test-lowest: $(LOWEST)/.stamp
	$(LOWEST)/bin/python -m pytest -n auto tests/backends tests/codecs tests/format \
		tests/integrations tests/keys tests/keyspace tests/plans tests/secrets tests/stores \
		tests/testing --deselect \
		tests/integrations/test_accepted.py::test_what_is_shipped_does_as_was_recorded

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

# The site, in docs/_build. A warning, a broken link or a missing anchor is an error.
docs: $(VENV)/.stamp-dev
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m tests.benchmarks --chart docs/engines.svg

# Kills, failing and full disks, cancelled tasks, many threads: longer than the suite has them.
chaos: $(VENV)/.stamp-dev
	$(BIN)/python -m tests.chaos

clean:
	rm -rf .demo docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks build dist $(VENV) .venvs $(LOWEST)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed: put it on the PATH, or" \
		"say make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-run: pyproject.toml | $(BIN)/python
	$(PIP) install --editable '.[cli]'
	@touch $@

# Dependency groups need a newer pip than the one that comes with Python 3.11.
$(VENV)/.stamp-dev: pyproject.toml | $(BIN)/python
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable '.[all,frameworks,testing]' --group lint --group test --group docs
	@touch $@ $(VENV)/.stamp-run

$(LOWEST)/.stamp: pyproject.toml tests/lowest.py
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python tests/lowest.py >$(LOWEST)/floors.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install --upgrade 'pip>=25.1'
	$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install \
		--constraint $(LOWEST)/floors.txt --editable '.[all,frameworks,testing]' --group lowest
	@touch $@

$(VENV)/.stamp-bench: $(VENV)/.stamp-dev
	$(PIP) install --group bench
	@touch $@

# Two commands: `make quickstart` runs the main job, `make test` the tests. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-fast fuzz wheels lint coverage clean system

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

quickstart: $(VENV)/installed
	$(BIN)/python -m harness +sweep=quickstart

# Debian's packages for the tests in a browser and in bubblewrap; without them those tests say so and are skipped.
system:
	-dpkg -s $$(cat tests/system-packages.txt) >/dev/null 2>&1 || \
		(apt-get update -q && apt-get install -q -y --no-install-recommends $$(cat tests/system-packages.txt))

# Tests that assert no times run two at a time, those with long files first, so that no worker waits for the last one.
# The others measure, or start an engine whose threads wait for each other, and have the machine to themselves.
PARALLEL := $(addprefix tests/,$(addprefix integration/,leaks hub accuracy checkpoints report gemm \
	engines/test_server_process.py engines/test_new_engine.py test_closed_pipe.py) fuzz unit)
TWO := -n 2 --dist loadfile --no-loadscope-reorder

test: lint $(if $(CI),system)
	$(BIN)/python -m pytest $(PARALLEL) $(TWO)
	$(BIN)/python -m pytest tests/integration tests/e2e $(addprefix --ignore=,$(PARALLEL))

# The unit tests that start no other programs and write no whole reports.
test-fast: $(VENV)/installed
	$(BIN)/python -m pytest tests/unit $(TWO) -m "not slow"

# Random inputs for every parser and reader of foreign data: each test for FUZZ_S seconds or FUZZ_EXAMPLES inputs.
FUZZ_S ?= 300
FUZZ_EXAMPLES ?= 100000
fuzz: $(VENV)/installed
	FUZZ_S=$(FUZZ_S) FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/fuzz -n 2 --dist load --timeout 0

# The CUDA wheels of vLLM on a machine without a GPU (tests/wheels/README.md): by hand and before a release, not in CI.
wheels: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,wheels]'
	$(BIN)/python -m pytest tests/wheels -n 2 --dist loadgroup --timeout 3000

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lines and branches of harness/ that the unit tests reach, within their own process.
coverage: $(VENV)/installed
	$(BIN)/python -m pytest tests/unit $(TWO) --cov --cov-report=term:skip-covered

clean:
	rm -rf $(VENV) build dist *.egg-info

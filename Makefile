# Two commands: `make quickstart` runs the main job, `make test` the tests. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m harness.machine.packages --quiet

# Keep the bytecode of what is imported, whatever the shell says: a sweep starts hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: quickstart test test-fast fuzz wheels lint docs picture coverage clean system

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile uv
	$(INSTALL) -e .
	touch $@

# What the tests and the documentation need beside it.
$(VENV)/dev: $(VENV)/installed
	$(INSTALL) -e '.[dev]'
	touch $@

quickstart: $(VENV)/installed
	$(BIN)/python -m harness +sweep=quickstart

# Debian's packages for the tests in a browser and in bubblewrap; without them those tests say so and are skipped.
system:
	-dpkg -s $$(cat tests/system-packages.txt) >/dev/null 2>&1 || \
		(apt-get update -q && apt-get install -q -y --no-install-recommends $$(cat tests/system-packages.txt))

# Tests that assert no times run side by side, those with long files first, so that no worker waits for the last one.
# The real engines are a worker's (tests/conftest.py): they take a core, and the others share what is left of two. They
# are four, because many wait: for clocks, for loads to arrive at their rates, for processes to end.
# Those of ALONE measure times, or count what a client that is late sends again, and have the machine to themselves.
ALONE := $(addprefix tests/integration/,load engines/test_simulated_server.py engines/test_simulated_sweep.py \
	telemetry/test_nvml.py telemetry/test_sweep.py test_sweep_alone.py)
BY_FILE := --dist loadfile --no-loadscope-reorder

test: lint $(if $(CI),system)
	$(BIN)/python -m pytest tests/e2e tests/integration tests/fuzz tests/unit $(addprefix --ignore=,$(ALONE)) -n 4 $(BY_FILE)
	$(BIN)/python -m pytest $(ALONE)

# The unit tests that start no other programs and write no whole reports.
test-fast: $(VENV)/dev
	$(BIN)/python -m pytest tests/unit -n 2 $(BY_FILE) -m "not slow"

# Random inputs for every parser and reader of foreign data: each test for FUZZ_S seconds or FUZZ_EXAMPLES inputs.
FUZZ_S ?= 300
FUZZ_EXAMPLES ?= 100000
fuzz: $(VENV)/dev
	FUZZ_S=$(FUZZ_S) FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/fuzz -n 2 --dist load --timeout 0

# The CUDA wheels of vLLM on a machine without a GPU (tests/wheels/README.md): by hand and before a release, not in CI.
wheels: $(VENV)/dev
	$(BIN)/python -m pytest tests/wheels -n 2 --dist loadgroup --timeout 3000

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documentation as a site in .site/; the pages of docs/reference are made from the code, the example reports by a
# simulated study of a minute and a half.
docs: $(VENV)/dev
	$(BIN)/python -m docs.generators
	$(BIN)/mkdocs build --strict
	$(BIN)/python -m docs.generators.examples .site/examples

# The README's picture: the first screen of a report (REPORT=reports/NAME), in Chromium.
REPORT ?= reports/demo
picture: $(VENV)/dev
	$(BIN)/python -m docs.generators.pictures $(REPORT)

# Lines and branches of harness/ that the unit tests reach, within their own process.
coverage: $(VENV)/dev
	$(BIN)/python -m pytest tests/unit -n 2 $(BY_FILE) --cov --cov-report=term:skip-covered

clean:
	rm -rf $(VENV) build dist *.egg-info

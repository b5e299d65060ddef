# Everything a newcomer needs: `make demo` and `make test`. Each target makes its own virtual environment in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(wildcard _ext/*.pyx tidal/_ext/*.pxd tidal/_ext/*.h) setup.py pyproject.toml

.PHONY: demo demo-cluster test test-faults soak lint bench dashboard docs clean

demo: $(VENV)/built
	$(BIN)/tidal demo

# A leader, two followers, a killed leader, a promotion. Needs nats-server: apt-get install nats-server.
demo-cluster: $(VENV)/clustered
	$(BIN)/tidal demo --cluster

# As many processes as there are cores; a single test is `.venv/bin/python -m pytest tests/...`.
test: $(VENV)/tested
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# What needs root, loop devices and tmpfs: power cuts, failing syncs, full disks. Skips with a reason elsewhere.
test-faults: $(VENV)/tested
	TIDAL_TEST_FAULTS=1 $(BIN)/python -m pytest tests/faults -m mounts -rs

# The large runs: make soak SOAK=full (hours) or small (minutes); the report is in build/soak.
SOAK ?= small
soak: $(VENV)/tested
	$(BIN)/python tests/soak/run.py --size $(SOAK) --out build/soak

lint: $(VENV)/linted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" cython-lint _ext tidal/_ext  # runs pycodestyle by name
	$(BIN)/mypy

bench: $(VENV)/benched
	$(BIN)/python asv_bench/table.py

# What asv has measured (docs/performance.md says how), as pages that open without a network: asv_bench/html.
dashboard: $(VENV)/benched
	$(BIN)/python asv_bench/dashboard.py

docs: $(VENV)/documented
	$(BIN)/python -m pdoc -o build/docs tidal tidal.testing

clean:
	rm -rf $(VENV) build *.egg-info demo-out tidal/_ext/*.so

$(VENV)/made:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	touch $@

# The extension modules are compiled again when a source or contract of theirs changed.
$(VENV)/built: $(VENV)/made $(SOURCES)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/tested $(VENV)/linted $(VENV)/benched $(VENV)/documented $(VENV)/clustered: $(VENV)/%: $(VENV)/built
	$(BIN)/python -m pip install --quiet --group $(GROUP_$*)
	touch $@

GROUP_tested := test
GROUP_linted := lint
GROUP_benched := bench
GROUP_documented := docs
GROUP_clustered := cluster

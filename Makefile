# `make demo` runs the whole job on a fresh machine; `make test` is what CI runs. Both need Python 3.11+ and nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
INPUTS := pyproject.toml constraints.txt
COVERING := $(addprefix tests/test_,$(addsuffix .py,corners corners_words verify_corners judge door input input_others input_scalars \
	partitions crowded tables channel hints verify verify_tolerances verify_bounds verify_records verify_forged verify_proofs verify_shared \
	verify_infeasible verify_right verify_digits verify_durations verify_price verify_solved verify_uplink verify_ends verify_limits gave_up \
	scenario report answers copies disk devices edges status instances sensitivity pareto \
	found kept every_matching nothing testing timedivision faults corrupted packaging))
SLOW := any_block or large or endless_energy or answered_as_solve or unusual_but_right or (status and bisection) \
	or called_optimal or every_effect or best_of_every_matching or stopped_search or wrong_number_on_a_shared \
	or (verify_bounds and (shared or drawn or tampered or disk or forged)) or (test_every_matching and not (keep_what or gives_up))

.PHONY: demo test nightly instances coverage mutants fuzz bench clean

demo: $(VENV)/.ready-demo
	$(BIN)/fedopt demo --out $(OUT)

test: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto

nightly: $(VENV)/.ready-dev
	PYTHONPATH=tests $(BIN)/python -m pytest -m nightly -p nightly --table tests/nightly.csv

instances: $(VENV)/.ready-dev
	PYTHONPATH=.:tests $(BIN)/python tests/library.py

# kernels run as plain Python, so that their lines are seen and nothing is compiled anew for a mutant
coverage: $(VENV)/.ready-dev
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest -k 'not ($(SLOW))' $(COVERING)
	$(BIN)/coverage report

mutants: $(VENV)/.ready-dev
	$(BIN)/python tests/mutants.py

fuzz: $(VENV)/.ready-dev
	$(INSTALL) -e '.[fuzz]'
	$(BIN)/python tests/fuzz/fuzz.py

bench: $(VENV)/.ready-dev
	$(BIN)/fedopt bench --all

clean:
	rm -rf $(VENV) out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedopt needs Python 3.11 or newer, found %d.%d: try make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-demo: $(INPUTS) | $(BIN)/python
	@echo "setting up $(VENV): a minute or two"
	$(INSTALL) -e '.[cli,plots]'
	@touch $@

$(VENV)/.ready-dev: $(INPUTS) | $(BIN)/python
	@echo "setting up $(VENV): a few minutes"
	$(INSTALL) -e '.[baselines,plots,cli,training,dev]'
	@touch $@ $(VENV)/.ready-demo

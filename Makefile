# make train    a fresh machine needs Python 3.11+, git and make, nothing else
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
RUNS ?= runs
PORT ?= 6006
NAME ?= mnist_losses
# the tests use both cores of a small machine; WORKERS=0 shows their output as they run
WORKERS ?= 2

.PHONY: help setup train ablation test test-slow test-clusters lint type smoke report bench bench-gpu tensorboard lock clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/installed ## make .venv with the locked dependencies

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("xent needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@echo "installs what requirements.lock names into .venv: a few minutes, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@touch $@

train: setup ## train the default experiment; ARGS="loss=focal seed=1" changes it
	$(BIN)/python train.py $(ARGS)

ablation: setup ## train the runs of an ablation; NAME=focal_gamma takes another, ARGS="seed=0,1" changes it
	$(BIN)/python train.py ablation=$(NAME) $(ARGS)

smoke: setup ## does it run? a few steps for an image and a text run
	$(BIN)/python train.py trainer=smoke overwrite=true
	$(BIN)/python train.py data=python_docs model=gpt trainer=smoke overwrite=true

test: lint type ## lint, type check and tests (under 4 minutes on 2 cores)
	$(BIN)/python -m pytest -n $(WORKERS) -rs

test-slow: setup ## the tests that take longer
	$(BIN)/python -m pytest -n $(WORKERS) -rs -m slow

# Each extra in an environment of its own, on top of .venv: what it wants in another version comes first on the path.
.venv-%/installed: .venv/installed pyproject.toml
	rm -rf .venv-$*
	$(BIN)/python -m venv .venv-$*
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$(.venv-$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(BIN)/python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"] + p["optional-dependencies"][sys.argv[1]]))' $* > .venv-$*/wanted
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv-$*/wanted
	@touch $@

test-clusters: .venv-slurm/installed .venv-ray/installed .venv-onnx/installed ## the tests of SLURM, Ray and ONNX, each in an environment with its extra
	.venv-slurm/bin/python -m pytest -rs -m 'slow and slurm'
	.venv-ray/bin/python -m pytest -rs -m 'slow and ray'
	.venv-onnx/bin/python -m pytest -rs -m 'slow and onnx'

lint: setup ## ruff: errors and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup ## mypy, strict, on src/ and the scripts
	$(BIN)/mypy

report: setup ## compare all finished runs; RUNS=runs/mnist_5k-mlp those of a folder, ARGS="baseline=focal"
	$(BIN)/python report.py $(RUNS) $(ARGS)

bench: setup ## measure against the bare loop and the usual way, write docs/benchmarks.md; ARGS="--parts whole sweep"
	$(BIN)/python benchmarks/bench.py $(ARGS)

bench-gpu: setup ## the same on a GPU, and the experiments that have published figures
	$(BIN)/python benchmarks/bench.py --device cuda --parts mnist_mlp shakespeare_gpt cifar_resnet20 evaluation scaling published $(ARGS)

tensorboard: setup ## TensorBoard, and the link that opens it on what compares losses; RUNS=runs/mnist_losses PORT=6007
	@$(BIN)/python -m src.folder.links $(RUNS) $(PORT)
	$(BIN)/tensorboard --logdir $(RUNS) --port $(PORT)

lock: ## make requirements.lock anew from pyproject.toml (in an empty environment)
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"] + p["optional-dependencies"]["dev"] + ["torch==2.13.0", "torchvision==0.28.0"]))' > .venv-lock/wanted
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check --requirement .venv-lock/wanted
	{ echo "# Exact versions that the project is tested with. Made by 'make lock'."; .venv-lock/bin/python -m pip freeze --exclude setuptools | sed 's/+cpu//' | grep -v '^nvidia-\|^triton==\|^cuda-'; } > requirements.lock
	rm -rf .venv-lock

clean: ## delete caches and the environment; runs and data sets stay
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

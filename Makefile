# Everything starts here: each target first makes the environment it needs (scripts/setup.sh, docs/toolchain.md).
# `make` alone lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV ?= .venv
export FINETUNE_VENV := $(VENV)
BIN := $(VENV)/bin

# `python -m pytest` rather than `pytest`: it puts the checkout on the import path.
PYTEST := $(BIN)/python -m pytest

# Each worker holds TensorFlow, up to 3 GB. A file's tests stay together: they share what they have trained.
WORKERS ?= logical
PARALLEL := -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-all test-cluster test-current lint format docs bench bench-pipeline bench-quality bench-candidates bench-mean-weights bench-strategies bench-multilabel bench-bert bench-frozen-encoder bench-audio bench-fusion bench-alignment bench-detection bench-segmentation bench-data-checks bench-warm bench-peft bench-tuning bench-replacements bench-gates simulate-year clean figures

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

setup:  ## make the environment (.venv); every other target does this by itself
	@scripts/setup.sh

demo: setup  ## fine-tune a small model on data that comes along, and push it
	$(BIN)/finetune demo

test: setup  ## run the tests, without the long ones and those that test-current runs
	$(PYTEST) $(PARALLEL) -m "not long and not cluster and not by_test_current"

test-all: setup  ## run every test, and print which lines none of them runs
	$(PYTEST) $(PARALLEL) -m "not cluster" --cov --cov-report term-missing

test-cluster: setup  ## run the tests that hold us against real parts of a cluster, which Go builds first (15 minutes, once)
	$(PYTEST) -m cluster tests/kubeflow/real

test-current:  ## run the tests with current Python and TFX (lane B), in a Debian 13 root where the host is older
	@scripts/test_current.sh

lint: setup  ## check style, formatting, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

figures: setup  ## measure the networks of the catalogue anew, which takes a quarter of an hour
	$(BIN)/python -m trainer_module.backbones.figures > trainer_module/backbones/figures.new
	mv trainer_module/backbones/figures.new trainer_module/backbones/figures.json

docs: setup  ## write the generated pages and pictures of docs/ anew
	$(BIN)/python -m finetune_cli.reference > docs/config.md
	$(BIN)/python -m finetune_cli.backbones > docs/backbones.md
	$(BIN)/python -m evaluation.reference > docs/metrics.md
	$(BIN)/python scripts/draw_architecture.py > docs/images/architecture.svg

bench: setup  ## compare the Trainer with a plain Keras script (PEER=FILE) and with itself uncached; an hour
	FINETUNE_PEER="$(or $(PEER),$(FINETUNE_PEER))" $(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.materialise

bench-pipeline: setup  ## measure first runs, reruns, ten new pictures among 6,000, and 60,000 small ones; an hour
	$(BIN)/python -m benchmarks.pipeline

bench-quality: setup  ## measure what fine-tuning gains on several sets and splits; hours, and it goes on after a kill
	FINETUNE_PEER="$(or $(PEER),$(FINETUNE_PEER))" $(BIN)/python -m benchmarks.quality

bench-candidates: setup  ## measure recipes on parts of train/, by which the candidates of auto were chosen; an hour; resumes
	$(BIN)/python -m benchmarks.candidates

bench-mean-weights: setup  ## measure the last fit of auto beside means of weights, on parts of train/; 40 minutes; resumes
	$(BIN)/python -m benchmarks.mean_weights

bench-strategies: setup  ## train with every strategy and five seeds on real pictures
	$(BIN)/python -m benchmarks.strategies

bench-multilabel: setup  ## train on examples with several labels beside logistic regression; an hour
	$(BIN)/python -m benchmarks.multilabel

bench-audio: setup  ## train on spoken digits, each speaker tested on once, beside regression and from scratch; an hour; resumes
	$(BIN)/python -m benchmarks.audio

bench-data-checks: setup  ## plant label errors and near-duplicates in real data, count what is found, and correct it; half an hour
	$(BIN)/python -m benchmarks.data_checks
	$(BIN)/python -m benchmarks.data_corrections

bench-bert: setup  ## hold word pieces against Hugging Face's, and tune MiniLM beside GloVe; an hour, and it goes on after a kill
	$(BIN)/python -m benchmarks.bert

bench-frozen-encoder: setup  ## measure what a frozen encoder of texts costs; ten minutes
	$(BIN)/python -m benchmarks.frozen_encoder

simulate-year: setup  ## let a year of retraining pass, with planted faults; an hour
	$(BIN)/python -m benchmarks.simulate_year

bench-warm: setup  ## measure what a warm start saves, and what is forgotten with replay and without; an hour
	$(BIN)/python -m benchmarks.warm_start

bench-tuning: setup  ## measure what a search costs beside runs of the Trainer, and what it gains; half an hour
	$(BIN)/python -m benchmarks.tuning

bench-replacements: setup  ## which gate lets no replacement out that is worse, over years drawn many times; an hour
	$(BIN)/python -m benchmarks.replacements

bench-peft: setup  ## measure LoRA beside full fine-tuning; an hour, and it goes on after a kill
	$(BIN)/python -m benchmarks.peft

bench-distillation: setup  ## teach a small network by a large one, beside the same one that learned alone; an hour
	$(BIN)/python -m benchmarks.distillation

bench-gates: setup  ## simulate promotions on one test set, and whether stated differences are found; ten minutes
	$(BIN)/python -m benchmarks.promotions
	$(BIN)/python -m benchmarks.power

clean:  ## remove the environment and tools' caches; keeps runs/ with its models
	rm -rf .venv .venv.lock .venv.syncing .venv-lane-b .venv-lane-b.lock .venv-lane-b.syncing
	rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .coverage .import_linter_cache
	find . -path ./.git -prune -o -path ./runs -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

bench-detection: setup  ## find blood cells, beside the same network from scratch; half an hour, and it goes on after a kill
	$(BIN)/python -m benchmarks.detection

bench-segmentation: setup  ## tell flowers from blood cells pixel by pixel, beside the same network from scratch; goes on after a kill
	$(BIN)/python -m benchmarks.segmentation

bench-fusion: setup  ## ask for one of two flowers in a picture, and compare both sides with each alone; a quarter of an hour
	$(BIN)/python -m benchmarks.fusion

bench-alignment: setup  ## find a class of flowers by its prompt that training never saw, five times; a quarter of an hour
	$(BIN)/python -m benchmarks.alignment

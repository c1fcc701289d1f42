# Everything a person does with this repository. Needs Rust, make and python3 with pip; `make setup`
# installs the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# Kept outside the checkout, so that a fresh one builds from what an earlier one left.
export TANDEM_CACHE ?= $(HOME)/.cache/tandem
export CARGO_TARGET_DIR ?= $(TANDEM_CACHE)/target
# llama.cpp is compiled once for all checkouts and profiles.
ifneq ($(shell command -v ccache),)
export CMAKE_C_COMPILER_LAUNCHER ?= ccache
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

programs := -p tandem-engine -p tandem-daemon -p tandem-client

.PHONY: help setup model embedding-model remote-model documents build demo test lint docs coverage llama-server chroma bench-peer bench-retrieval model-synthetic router-protocols

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the system packages that are missing
	@scripts/setup.sh

model: setup ## Fetch the default model, 98 MB, once
	@scripts/model.sh >/dev/null

embedding-model: setup ## Fetch the embedding model that tests import, 83 MB, once
	@scripts/embedding-model.sh >/dev/null

remote-model: setup ## Fetch the model that plays the remote one in tests, 253 MB, once
	@scripts/remote-model.sh >/dev/null

documents: setup ## Lay out the 1,000 documents that searching is judged with, 80 MB, once
	@scripts/documents.sh >/dev/null

build: setup ## Build the programs for use
	cargo build --release --locked $(programs)

demo: build model ## Ask a real model two questions
	@scripts/demo.sh "$(CARGO_TARGET_DIR)/release" "$$(scripts/model.sh 2>/dev/null)"

llama-server: setup ## Build the remote API that tests talk to, once
	@scripts/llama-server.sh >/dev/null

chroma: setup ## Install the vector server that tests talk to, once
	@scripts/chroma.sh >/dev/null

# Arguments of the program follow as BENCH, such as `make bench-peer BENCH="--quick --workloads a,b"`.
bench-peer: build model ## Measure against llama.cpp's own server, about an hour
	cargo build --release --locked -p tandem-tests --bins
	@scripts/bench-peer.sh "$(CARGO_TARGET_DIR)/release" $(BENCH)

bench-retrieval: build embedding-model chroma ## Measure searches against a server of Chroma, half an hour
	cargo build --release --locked -p tandem-tests --bin bench-retrieval
	@scripts/bench-retrieval.sh "$(CARGO_TARGET_DIR)/release" $(BENCH)

model-synthetic: setup ## Write models of 1.1 and 7 billion random weights, 5 GB, for measurements
	cargo build --release --locked -p tandem-tests --bin make-model
	@scripts/bench-models.sh "$(CARGO_TARGET_DIR)/release" $(SIZES)

# DATA is a folder with public_gsm8k.jsonl, public_mmlu.jsonl and public_mtbench.jsonl.
router-protocols: ## Measure how well questions are routed; DATA=FOLDER of graded questions
	@: $${DATA:?name the folder of the graded questions, as in make router-protocols DATA=FOLDER}
	cargo run --release --locked -p tandem-tests --bin router-protocols -- "$$DATA"

# The programs are built first and with all targets: tests start them as processes.
test: model embedding-model remote-model documents llama-server chroma ## Run all tests, with a real model and a real remote API
	@export TANDEM_TEST_MODEL="$$(scripts/model.sh 2>/dev/null)"
	export TANDEM_TEST_EMBEDDING_SOURCE="$$(scripts/embedding-model.sh 2>/dev/null)"
	export TANDEM_TEST_REMOTE_MODEL="$$(scripts/remote-model.sh 2>/dev/null)"
	export TANDEM_TEST_DOCUMENTS="$$(scripts/documents.sh 2>/dev/null)"
	export TANDEM_TEST_LLAMA_SERVER="$$(scripts/llama-server.sh)"
	export TANDEM_TEST_CHROMA="$$(scripts/chroma.sh)"
	export TANDEM_BIN_DIR="$(CARGO_TARGET_DIR)/debug"
	cargo build --locked --workspace --bins --tests
	cargo test --locked --workspace --no-fail-fast

lint: setup ## Check format, code, shell scripts and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tools="$$(scripts/tools.sh)"
	"$$tools/cargo-deny" --locked check bans licenses sources
	[[ ! -x "$$tools/shellcheck" ]] || "$$tools/shellcheck" scripts/*.sh .ci/run

docs: ## Write the page about all settings from the list that the program reads
	cargo build --locked --workspace --bins
	"$(CARGO_TARGET_DIR)/debug/tandem" config reference >docs/settings.md

# In a folder of its own, as instrumented code shares nothing with other builds. Programs that tests
# start are instrumented with them; what a killed one has reached is not counted.
coverage: model embedding-model remote-model documents llama-server chroma ## Measure which lines the tests reach
	@command -v cargo-tarpaulin >/dev/null || cargo install cargo-tarpaulin --locked
	export TANDEM_TEST_MODEL="$$(scripts/model.sh 2>/dev/null)"
	export TANDEM_TEST_EMBEDDING_SOURCE="$$(scripts/embedding-model.sh 2>/dev/null)"
	export TANDEM_TEST_REMOTE_MODEL="$$(scripts/remote-model.sh 2>/dev/null)"
	export TANDEM_TEST_DOCUMENTS="$$(scripts/documents.sh 2>/dev/null)"
	export TANDEM_TEST_LLAMA_SERVER="$$(scripts/llama-server.sh)"
	export TANDEM_TEST_CHROMA="$$(scripts/chroma.sh)"
	unset TANDEM_BIN_DIR
	cargo tarpaulin --locked --workspace --engine llvm --follow-exec --skip-clean --timeout 900 \
		--target-dir "$(CARGO_TARGET_DIR)/coverage" --exclude-files 'tests/*' '*/tests/*' '*/build.rs' \
		--out stdout --out html --output-dir "$(CARGO_TARGET_DIR)/coverage"

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

.PHONY: help setup model embedding-model remote-model model-3b documents build embedded demo test lint fuzz docs coverage llama-server chroma s3-server bench-peer bench-retrieval model-synthetic router-protocols

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install the system packages that are missing
	@scripts/setup.sh

model: setup ## Fetch the default model, 98 MB, once
	@scripts/model.sh >/dev/null

embedding-model: setup ## Fetch the embedding model that tests import, 83 MB, once
	@scripts/embedding-model.sh >/dev/null

remote-model: setup ## Fetch the model that plays the remote one in tests, 253 MB, once
	@scripts/remote-model.sh >/dev/null

model-3b: setup ## Write the model that tests squeeze into 4 GB of memory, 1.7 GB, once
	@scripts/model-3b.sh >/dev/null

documents: setup ## Lay out the 1,000 documents that searching is judged with, 80 MB, once
	@scripts/documents.sh >/dev/null

build: setup ## Build the programs for use
	cargo build --release --locked $(programs)

# Cargo keeps both, so that the ordinary one is back in its place at once.
embedded: build model ## Build one tandemd with the engine and a model inside; TANDEM_EMBED_MODEL names another
	@export TANDEM_EMBED_MODEL="$${TANDEM_EMBED_MODEL:-$$(scripts/model.sh 2>/dev/null)}"
	export TANDEM_EMBED_ENGINE="$(CARGO_TARGET_DIR)/release/tandem-engine"
	cargo build --release --locked -p tandem-daemon --features embedded
	install -D -m 755 "$(CARGO_TARGET_DIR)/release/tandemd" "$(CARGO_TARGET_DIR)/embedded/tandemd"
	cargo build --release --locked -p tandem-daemon
	echo "$(CARGO_TARGET_DIR)/embedded/tandemd: $$(du -h --apparent-size "$(CARGO_TARGET_DIR)/embedded/tandemd" | cut -f1) with $$(basename "$$TANDEM_EMBED_MODEL")"

demo: build model ## Ask a real model two questions
	@scripts/demo.sh "$(CARGO_TARGET_DIR)/release" "$$(scripts/model.sh 2>/dev/null)"

llama-server: setup ## Build the remote API that tests talk to, once
	@scripts/llama-server.sh >/dev/null

chroma: setup ## Install the vector server that tests talk to, once
	@scripts/chroma.sh >/dev/null

s3-server: setup ## Build the S3 server that tests talk to, once
	@scripts/s3-server.sh >/dev/null

# Arguments of the program follow as BENCH, such as `make bench-peer BENCH="--quick --workloads a,b"`.
bench-peer: build model ## Measure against llama.cpp's own server, about an hour
	cargo build --release --locked -p tandem-tests --bins
	@scripts/bench-peer.sh "$(CARGO_TARGET_DIR)/release" $(BENCH)

bench-retrieval: build embedding-model chroma ## Measure searches against a server of Chroma, half an hour
	cargo build --release --locked -p tandem-tests --bin bench-retrieval
	@scripts/bench-retrieval.sh "$(CARGO_TARGET_DIR)/release" $(BENCH)

model-synthetic: setup ## Write models of 1.1, 3 and 7 billion random weights, 6 GB, for measurements
	cargo build --release --locked -p tandem-tests --bin make-model
	@scripts/bench-models.sh "$(CARGO_TARGET_DIR)/release" $(SIZES)

# DATA is a folder with public_gsm8k.jsonl, public_mmlu.jsonl and public_mtbench.jsonl.
router-protocols: ## Measure how well questions are routed; DATA=FOLDER of graded questions
	@: $${DATA:?name the folder of the graded questions, as in make router-protocols DATA=FOLDER}
	cargo run --release --locked -p tandem-tests --bin router-protocols -- "$$DATA"

# The programs are built first and with all targets: tests start them as processes.
test: model embedding-model remote-model model-3b documents llama-server chroma s3-server ## Run all tests, with a real model and a real remote API
	@export TANDEM_TEST_MODEL="$$(scripts/model.sh 2>/dev/null)"
	export TANDEM_TEST_EMBEDDING_SOURCE="$$(scripts/embedding-model.sh 2>/dev/null)"
	export TANDEM_TEST_REMOTE_MODEL="$$(scripts/remote-model.sh 2>/dev/null)"
	export TANDEM_TEST_MODEL_3B="$$(scripts/model-3b.sh)"
	export TANDEM_TEST_DOCUMENTS="$$(scripts/documents.sh 2>/dev/null)"
	export TANDEM_TEST_LLAMA_SERVER="$$(scripts/llama-server.sh)"
	export TANDEM_TEST_CHROMA="$$(scripts/chroma.sh)"
	export TANDEM_TEST_S3_SERVER="$$(scripts/s3-server.sh)"
	export TANDEM_BIN_DIR="$(CARGO_TARGET_DIR)/debug"
	cargo build --locked --workspace --bins --tests
	cargo test --locked --workspace --no-fail-fast

lint: setup ## Check format, code, shell scripts and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tools="$$(scripts/tools.sh)"
	"$$tools/cargo-deny" --locked check bans licenses sources
	[[ ! -x "$$tools/shellcheck" ]] || "$$tools/shellcheck" scripts/*.sh .ci/run

# Needs a nightly toolchain of rustup. What is found is kept in models/fuzz/artifacts.
FUZZ_SECONDS ?= 600
fuzz: model ## Feed the reader of GGUF headers what nobody has thought of, for FUZZ_SECONDS
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	python3 models/fuzz/seeds.py models/fuzz/seeds "$$(scripts/model.sh 2>/dev/null)"
	mkdir -p models/fuzz/corpus/gguf
	cd models
	cargo +nightly fuzz run --sanitizer none --target-dir "$(CARGO_TARGET_DIR)/fuzz" gguf fuzz/corpus/gguf fuzz/seeds -- \
		-dict=fuzz/gguf.dict -max_len=65536 -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -print_final_stats=1

docs: ## Write the page about all settings from the list that the program reads
	cargo build --locked --workspace --bins
	"$(CARGO_TARGET_DIR)/debug/tandem" config reference >docs/settings.md

# In a folder of its own, as instrumented code shares nothing with other builds. Programs that tests
# start are instrumented with them; what a killed one has reached is not counted.
coverage: model embedding-model remote-model model-3b documents llama-server chroma s3-server ## Measure which lines the tests reach
	@command -v cargo-tarpaulin >/dev/null || cargo install cargo-tarpaulin --locked
	export TANDEM_TEST_MODEL="$$(scripts/model.sh 2>/dev/null)"
	export TANDEM_TEST_EMBEDDING_SOURCE="$$(scripts/embedding-model.sh 2>/dev/null)"
	export TANDEM_TEST_REMOTE_MODEL="$$(scripts/remote-model.sh 2>/dev/null)"
	export TANDEM_TEST_MODEL_3B="$$(scripts/model-3b.sh)"
	export TANDEM_TEST_DOCUMENTS="$$(scripts/documents.sh 2>/dev/null)"
	export TANDEM_TEST_LLAMA_SERVER="$$(scripts/llama-server.sh)"
	export TANDEM_TEST_CHROMA="$$(scripts/chroma.sh)"
	export TANDEM_TEST_S3_SERVER="$$(scripts/s3-server.sh)"
	unset TANDEM_BIN_DIR
	cargo tarpaulin --locked --workspace --engine llvm --follow-exec --skip-clean --timeout 900 \
		--target-dir "$(CARGO_TARGET_DIR)/coverage" --exclude-files 'tests/*' '*/tests/*' '*/build.rs' \
		--out stdout --out html --output-dir "$(CARGO_TARGET_DIR)/coverage"

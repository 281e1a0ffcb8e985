# make test   every test, in one command, from a clean clone
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help test build lint bench clean deps-build deps-test

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: deps-test ## Install what is needed and run every test
	cargo test --locked

build: deps-build ## The release binary
	cargo build --release --locked

lint: ## Formatting, clippy, shell scripts
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

bench: deps-build ## Every bench, in release
	cargo bench --locked

clean: ## Remove what was built
	cargo clean

deps-build deps-test:
	scripts/install-deps.sh $(@:deps-%=%)

# make demo   the map with example data, in one command
# make test   every test, in one command, from a clean clone
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test build web lint bench clean deps-build deps-demo deps-test

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
DEMO_DIR ?= demo
LISTEN ?= 127.0.0.1:8080
PORTAL_SOURCES := $(shell find web styles -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/tests/*')

# A binary without the portal is for the tests of single modules only.
export ONEMAP_REQUIRE_PORTAL := 1

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps-demo web ## Install what is needed, build, import example data, serve the map
	cargo build --release --locked
	scripts/fetch-demo-data.py $(DEMO_DIR)/data
	exec $(TARGET_DIR)/release/onemap demo $(DEMO_DIR)/workspace --data $(DEMO_DIR)/data --listen $(LISTEN)

test: deps-test web ## Install what is needed and run every test
	cargo test --locked
	cd web && npm test
	cd web && ONEMAP_BIN=$(abspath $(TARGET_DIR))/debug/onemap npm run test:browser
	scripts/fetch-demo-data.py $(DEMO_DIR)/data
	rm -rf $(DEMO_DIR)/check
	$(TARGET_DIR)/debug/onemap demo --check $(DEMO_DIR)/check --data $(DEMO_DIR)/data

build: deps-build web ## The release binary
	cargo build --release --locked

web: web/dist/index.html ## The portal's assets

web/dist/index.html: web/node_modules/.package-lock.json $(PORTAL_SOURCES)
	cd web && npm run build
	touch $@ build.rs

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

lint: ## Formatting, clippy, shell scripts, the portal's types
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

bench: deps-build web ## Every bench, in release
	cargo bench --locked

clean: ## Remove what was built and the demo
	cargo clean
	rm -rf $(DEMO_DIR) web/node_modules web/dist

deps-build deps-demo deps-test:
	scripts/install-deps.sh $(@:deps-%=%)

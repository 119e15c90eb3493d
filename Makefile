# `make help` lists the targets. Everything a target needs beyond Go, make, python3,
# node and a C++ compiler it installs itself, at pinned versions, into .tools, .venv
# and interop/node/node_modules.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# GOLANGCI_VERSION is built from source: its releases would tie us to platforms.
GOLANGCI_VERSION := v2.15.0
GOLANGCI := .tools/golangci-lint-$(GOLANGCI_VERSION)

# NESTED are the modules below the root that `go test ./...` doesn't enter: what
# needs dependencies that users of the library shall not get.
NESTED := internal/tools/protogen interop/otel interop/upstream

# CROSS are the platforms, beside this one, that everything builds and vets for.
CROSS := darwin/arm64 windows/amd64 linux/arm64 linux/386

# TEST_FLAGS are given to every `go test`: two packages at a time suit two cores
# and tests that start processes; a hung test ends with its stacks.
TEST_FLAGS := -p 2 -timeout 8m

# FUZZ_SECONDS bounds each fuzz target, SOAK_SECONDS the repetition of the tests,
# which ends with the round that is under way.
FUZZ_SECONDS ?= 5
SOAK_SECONDS ?= 240

# BENCH selects benchmarks.
BENCH ?= .

PART := scripts/part

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## everything a change has to pass: about 10 minutes on 2 cores when nothing is cached
	@$(PART) vet $(MAKE) vet
	@$(PART) lint $(MAKE) lint
	@$(PART) race $(MAKE) race
	@$(PART) nested $(MAKE) test-nested
	@$(PART) python $(MAKE) test-python
	@$(PART) node $(MAKE) test-node
	@$(PART) clients $(MAKE) test-clients
	@$(PART) examples $(MAKE) examples
	@$(PART) generated $(MAKE) check-generate
	@$(PART) cross $(MAKE) cross

.PHONY: race
race: ## run the Go tests under the race detector (without a C compiler: without it)
	@race=$$(scripts/race-flag); scripts/go-test $(TEST_FLAGS) $$race ./...

.PHONY: test-nested
test-nested: ## vet and test the nested modules
	@race=$$(scripts/race-flag); for module in $(NESTED); do \
		echo "module $$module"; (cd $$module && go vet ./... && $(CURDIR)/scripts/go-test $(TEST_FLAGS) $$race ./...); \
	done

.PHONY: test-python
test-python: ## test the Python interop in .venv
	@scripts/python-test

.PHONY: test-node
test-node: ## test the Node interop
	@scripts/node-test

.PHONY: test-clients
test-clients: ## test clients and servers of other languages
	@scripts/clients-test

.PHONY: vet
vet: ## run go vet
	@go vet ./...

.PHONY: lint
lint: $(GOLANGCI) ## run golangci-lint and the checks of this tree
	@for module in . $(NESTED); do (cd $$module && $(CURDIR)/$(GOLANGCI) run ./...); done
	@go run ./scripts/quotecheck README.md
	@scripts/tree-check $(NESTED)

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION)"
	@mkdir -p $(@D)
	@GOBIN=$(CURDIR)/.tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv .tools/golangci-lint $@

.PHONY: fmt
fmt: ## format the Go code
	@gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: cross
cross: ## build and vet for the other platforms
	@for platform in $(CROSS); do \
		echo "$$platform"; \
		export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		go build ./... && go vet ./...; \
	done

.PHONY: generate
generate: ## regenerate the generated code, with tools pinned in go.mod files
	@go generate ./...

.PHONY: check-generate
check-generate: ## fail if regenerating changes anything
	@scripts/check-generate

.PHONY: readme
readme: ## copy the quoted files into README.md
	@go run ./scripts/quotecheck -w README.md

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZ_SECONDS
	@scripts/fuzz $(FUZZ_SECONDS)

.PHONY: soak
soak: ## check the model, run the large matrices, repeat all tests for SOAK_SECONDS on 1, 2 and 4 processors, fuzz
	@$(PART) model internal/shm/model/check.sh
	@$(PART) large $(MAKE) large
	@$(PART) repeat scripts/soak $(SOAK_SECONDS)
	@$(PART) fuzz $(MAKE) fuzz

.PHONY: large
large: ## the matrices and crashes of shared memory, what is sent to hosts, and many connections, in full
	@race=$$(scripts/race-flag); CARP_SOAK=1 scripts/go-test $(TEST_FLAGS) $$race -count 1 ./internal/shm ./shmconn ./host; \
		CARP_SOAK=1 scripts/go-test $(TEST_FLAGS) $$race -count 1 -run TestManyConnections ./carpgrpc

.PHONY: bench
bench: ## run the benchmarks that BENCH selects
	@go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: compare
compare: ## compare with unix sockets and grpc-go, in tables; a measurement only on a quiet machine
	@go run ./internal/bench/raw
	@go run ./internal/bench/rpc
	@go run ./internal/bench/direct
	@go run ./internal/bench/host

.PHONY: examples
examples: ## run the quickstart; its table is a measurement only on a quiet machine
	@go run ./examples/quickstart

.PHONY: clean
clean: ## remove what the targets installed here
	@rm -rf .tools .venv bin interop/node/node_modules

# The usual commands. None of them is needed: each runs a plain Go command or a script.
# Tools and build results live in .tmp, out of the way of Go and of Git.

TMP      := .tmp
LINTER   := $(TMP)/bin/golangci-lint
LINT_TAG := v2.15.0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
CLI      := github.com/oskadev/mailroom/internal/cli
LDFLAGS  := -s -w -X $(CLI).version=$(VERSION) -X $(CLI).commit=$(COMMIT)
# how often each benchmark runs: enough for benchstat to tell a change from noise
COUNT    ?= 6

.DEFAULT_GOAL := help
.PHONY: help build run test race fuzz node python browser faults faults-ha faults-long conformance bench bench-peers bench-versus bench-redis-clients shape profile lint format ci smoke image up down clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the binary into .tmp/bin/mailroom
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $(TMP)/bin/mailroom .

run: ## everything in one process on 127.0.0.1:8080
	go run .

test: ## all tests; those that need a redis-server skip without one
	go test ./...

race: ## all tests with the race detector, in random order
	go test -race -shuffle=on ./...

fuzz: ## every fuzz target for some seconds (FUZZ_SECONDS, FUZZ_TOTAL: see .ci/fuzz)
	.ci/fuzz

node: ## test and pack clients/node; needs Node 20 or newer
	clients/node/check

python: ## test and build clients/python, with tools in .tmp/python
	clients/python/check

browser: node ## test examples/browser in Chromium
	cd examples/browser && MAILROOM_TEST_BROWSER=required go test -count=1 .

faults: ## the fault suite in full, each fault many times; some minutes
	MAILROOM_FAULTS=full MAILROOM_TEST_REDIS=required go test -count=1 -v -timeout 30m ./faults

faults-ha: ## failovers of Sentinel groups and clusters, repeatedly; prints the outages; some minutes
	MAILROOM_FAULTS=full MAILROOM_TEST_REDIS=required go test -count=1 -v -run 'Sentinel|Cluster' -timeout 20m ./faults ./cache

faults-long: ## an hour of faults at random (MAILROOM_FAULTS_MINUTES, MAILROOM_FAULTS_SEED)
	MAILROOM_FAULTS=long MAILROOM_TEST_REDIS=required go test -count=1 -v -run TestAtRandom -timeout 24h ./faults

conformance: ## the workers against the protocol at all levels, and all planted bugs; some minutes
	MAILROOM_CONFORMANCE=full MAILROOM_TEST_REDIS=required go test -count=1 -parallel 8 -timeout 20m -run 'Mutants|WithoutBugs|Conform' ./internal/conformance/... ./internal/cli

bench: ## all benchmarks, ready for benchstat, into .tmp/bench.txt
	@mkdir -p $(TMP)
	go test -run '^$$' -bench . -benchmem -count $(COUNT) ./... | tee $(TMP)/bench.txt

bench-peers: ## Mailroom beside what one would run instead, and the ratios (see bench/peers.sh)
	bench/peers.sh

bench-versus: ## another binary (OLD=path) against this checkout, in turn (see bench/versus.sh)
	bench/versus.sh $(OLD)

bench-redis-clients: ## internal/resp beside go-redis and rueidis
	cd bench/redisclients && go test -run '^$$' -bench . -benchtime 1s -count $(COUNT) .

shape: ## figures of the code's structure, one row each
	@go run ./internal/shape

profile: ## where the time goes, as default.pgo, by which the compiler optimizes (see bench/profile.sh)
	bench/profile.sh

lint: $(LINTER) ## the linters of .golangci.yml
	$(LINTER) run

format: $(LINTER) ## format as the linters want it
	$(LINTER) fmt

ci: ## everything that a change has to pass
	.ci/run

smoke: ## build the binary, start it, ask it a few things, stop it
	.ci/smoke

image: ## the container image mailroom:local
	docker build --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --tag mailroom:local .

up: ## a gateway, Redis and the example services in containers
	docker compose up --build

down: ## stop them; what Redis stored stays
	docker compose down

clean: ## remove build results; tools stay
	rm -rf $(TMP)/bin/mailroom $(TMP)/*.txt $(TMP)/*.log mailroom
	find . -path ./$(TMP) -prune -o \( -name '*.test' -o -name '*.out' \) -type f -exec rm {} +

$(LINTER):
	GOBIN=$(CURDIR)/$(TMP)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_TAG)

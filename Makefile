# Vera. `make check` is the inner loop, `make test` what a change must pass.
SHELL := /bin/bash
GO    ?= go
FUZZ  ?= 20s

# What drives the real binary, one package after the other, and all others.
BINARY := ./test ./test/cluster ./test/clients ./test/commands ./test/elections ./test/faults ./test/web
ROOMS  := $$($(GO) list ./... | grep -vxF "$$($(GO) list $(BINARY))")

.PHONY: all build check test fuzz soak bench bench-peers web net vet clean

all: build

build:
	$(GO) build -o bin/vera ./cmd/vera

# Five minutes: everything but the tests of the real binary.
check: vet
	$(GO) test -race -short $(ROOMS)
	$(GO) test -run '^TestHouse' ./test

vet:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'gofmt the files above'; exit 1; }
	$(GO) vet ./...
	cd examples && $(GO) vet ./...

# Everything, with what it needs installed first.
test: vet web net
	$(GO) test -race -timeout 15m $(ROOMS)
	$(GO) test -timeout 10m ./test/sim # once more without -race: 2,000 runs
	$(GO) test -count 1 -p 1 -timeout 20m $(BINARY) # they build the binary themselves, so nothing of them is cached
	cd examples && $(GO) test -count 1 -race -p 1 -timeout 10m ./... # a module of its own

# What the browser and Node tests need. Where it cannot be installed their
# tests say so and skip, except in CI, where they fail.
web:
	@.ci/web

# What the tests of partitions and sick disks need; skipped likewise.
net:
	@.ci/net

# Each fuzzer for $(FUZZ).
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) -fuzzminimizetime 20x $$p || exit 1; \
	  done; done

# Long: every fuzzer for ten minutes, all that has a full size at that, and
# $(RUNS) runs of random work under random faults.
RUNS ?= 500
soak: web net
	$(MAKE) fuzz FUZZ=10m
	VERA_SOAK=1 $(GO) test -race -timeout 3h ./actors ./raft/... ./test
	VERA_SOAK=1 $(GO) test -p 1 -timeout 3h -v ./test/faults -runs $(RUNS)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./raft/... ./actors ./ws .

# Beside etcd and ZooKeeper (apt-get install etcd-server zookeeper), in one run.
bench-peers:
	cd test/bench && $(GO) vet ./... && $(GO) run . $(BENCH)

clean:
	rm -rf bin

# The commands of a working day. What they do stands in .ci/run and in the
# config files of the tools.

BUF      := go tool -modfile=tools/go.mod buf
FUZZTIME ?= 500000x

.DEFAULT_GOAL := help
.PHONY: help build test race lint generate breaking vuln fuzz sim mutations faults ci run

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## compile everything
	go build ./...

test: ## all tests
	go test ./...

race: ## the short tests under the race detector
	bash .ci/run race

lint: ## gofmt, go vet, buf lint and golangci-lint
	bash .ci/run format vet proto lint

generate: ## write gen, docs/api and wire/descriptor anew from proto
	$(BUF) generate
	$(BUF) build --as-file-descriptor-set --exclude-imports -o wire/descriptor/pbft.binpb

breaking: ## compare proto with the branch main
	bash .ci/run breaking

vuln: ## known vulnerabilities, without asking a server
	bash .ci/run vuln

fuzz: ## every fuzz target, FUZZTIME inputs each (500000x unless given)
	FUZZTIME=$(FUZZTIME) bash .ci/run fuzz

sim: ## clusters from seeds: SEEDS=20000 of them from FIRST=0 on, or FOR=10m
	go run ./server/sim/explore $(if $(FOR),-for $(FOR),-seeds $(or $(SEEDS),20000)) -first $(or $(FIRST),0)

mutations: ## switch off one rule after the other, and see the simulator notice
	go run ./server/sim/mutate

faults: ## real processes under load, killed, stopped, cut off (Linux, root)
	go -C tools run ./faults

ci: ## all that a change must pass
	bash .ci/run

run: ## a cluster on this machine: all replicas of pbft.yaml
	go run ./server --all

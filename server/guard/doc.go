// Package guard holds no code, only tests that count what a request costs:
// allocations, bytes and, where the processor's counters can be read,
// instructions in user space. Counts do not depend on how busy a machine is,
// as times do, so a change that makes the normal case more expensive fails
//
//	go test ./server/guard
//
// The budgets stand in budget_test.go. A figure above its budget and tolerance
// fails, and so does one below half of it, except of instructions, where the
// budgets are upper bounds: the table stays true. Whoever makes
// the normal case dearer on purpose raises the budget in the same commit and
// says why there.
//
// The paths are measured apart, without I/O: what the gateway does with a
// group, what a backup does with a proposal, what ordering costs in the cores
// of four replicas, execution, and what the reply costs at both ends. The
// frames of the transport are not reachable without a network, and not here.
package guard

// Package sim runs whole clusters from a seed: the core and the execution that
// production runs, for 4 to 10 replicas and several clients, on a network, disks
// and clocks that go wrong. One goroutine runs a seed, and nothing but the seed
// decides what happens, so that whatever a run finds happens again.
//
// # What one seed does
//
// A Plan is drawn from it first: the configuration, how fast everything is,
// what clients want, which replicas lie and how, and which faults come when. At
// most f replicas lie, stop for good, or lose what they promised; any number may
// lose power and come back with their disks, be cut off, stand still, be slow, or
// have a wrong clock, for a while. At Plan.End all of that stops, except that
// liars go on. While it runs, a checker holds everything
// that correct replicas send, persist and execute, and everything that clients
// believe, against the invariants of docs/protocol.md: I1 to I27. Afterwards
// every request must be answered, every replica catch up, and views stand
// still: L1 to L6.
//
// # Disks
//
// In most plans each replica has a disk (disk.go): the log and the database of
// production, on file systems in memory that forget what was not synced. Power
// fails between any two effects, in the middle of a write, of a save and of a
// start, and comes back after a while (power.go). The checker has a ledger of what
// is durable (check_disk.go): what is sent must stand in it, and all of it must
// come back. persist.go does what storage.Writer does, with events instead of
// goroutines: a change of one is a change of both.
//
// # How to see what a seed does
//
//	go test ./server/sim -run TestSeed -seed=17 -trace
//
// prints the plan and one line per event. Many seeds, on all processors:
//
//	go run ./server/sim/explore -for 10m
//
// # How to add a lie
//
// A file lie_*.go holds a Behaviour and registers it. It stands between the
// real core of a lying replica and the world, and may change, drop and invent
// whatever that core hears and says; see Behaviour, Liar and Collusion.
package sim

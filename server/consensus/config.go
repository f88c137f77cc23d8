package consensus

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Config is what the core must know. Times are in ticks.
type Config struct {
	Cluster     crypto.ClusterID
	Epoch       uint64
	Self        message.ReplicaID
	Incarnation uint32
	N           int // replicas

	// Part of the epoch configuration: equal at all replicas.
	Interval     uint64 // K, batches between checkpoints
	Window       uint64 // L, a multiple of K, at least 2K
	Limits       message.Limits
	WindowBytes  int // fresh bodies per view above h
	ClientWindow int // W, numbers, a multiple of 64

	// Local.
	Pipeline           int // own batches in flight
	Depth              int // own batches in flight beyond which only full ones are proposed
	MaxPending         int // own clients' requests waiting
	MaxPendingBytes    int
	ClientPendingBytes int
	MaxDriftUS         int64
	Timeout            uint64 // T0, view_change_timeout
	MaxTimeout         uint64 // T_max, what doubling may reach
	SyncInterval       uint64 // between two Status when idle
	RetryFirst         uint64 // first repetition of the soft expiry (100 ms)
	StatusBudget       int    // bytes per peer and SyncInterval
	Fresh              bool   // the replica starts empty and must ask (5.6)
}

// M is how many distinct fresh digests a replica accepts at one number.
const M = 2

// Validate names the first value that cannot work.
func (c *Config) Validate() error {
	switch {
	case c.N != 1 && c.N < 4:
		return fmt.Errorf("%d replicas tolerate no fault: use 1 to try things out, or at least 4", c.N)
	case c.N > message.MaxReplicas:
		return fmt.Errorf("%d replicas, the most allowed is %d", c.N, message.MaxReplicas)
	case int(c.Self) >= c.N:
		return fmt.Errorf("replica index %d, allowed are 0 to %d", c.Self, c.N-1)
	case c.Interval < 1 || c.Window < 2*c.Interval || c.Window%c.Interval != 0:
		return fmt.Errorf("window of %d batches, must be a multiple of the checkpoint interval %d and at least twice it", c.Window, c.Interval)
	case c.ClientWindow < 64 || c.ClientWindow%64 != 0:
		return fmt.Errorf("client window %d, must be a positive multiple of 64", c.ClientWindow)
	case c.Pipeline < 1 || c.Depth < 1 || uint64(c.Pipeline) > c.Window-c.Interval:
		return fmt.Errorf("pipeline %d and depth %d, must be at least 1, and pipeline at most %d", c.Pipeline, c.Depth, c.Window-c.Interval)
	case c.Timeout < 4 || c.SyncInterval < 1 || c.RetryFirst < 1:
		return fmt.Errorf("timeout %d, sync interval %d, first retry %d ticks: too short", c.Timeout, c.SyncInterval, c.RetryFirst)
	}
	return nil
}

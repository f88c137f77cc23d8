// Package config reads pbft.yaml: it fills in defaults, checks every value
// and every combination that cannot work, and says what is wrong by file,
// line, key and value.
//
// A replica, a client and a program that embeds a replica read the same file.
package config

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// MaxNodes is the most replicas a cluster may have: sets of replicas travel as
// 64 bits.
const MaxNodes = 64

// peerPortOffset is the distance of a node's peer port from its port, unless
// the file says otherwise.
const peerPortOffset = 100

// requestOverhead is what a batch of one request may need beside its
// operation: group, client id and reply URL, with room to spare.
const requestOverhead = 4 << 10

// Config is a checked configuration. Load and Parse make it; whoever changes
// it afterwards (a test that takes its ports from the kernel) answers for it.
type Config struct {
	Nodes     []Node     // the replicas, by index
	Clients   []Endpoint // where the command line client listens for replies, by its index
	ClusterID crypto.ClusterID

	StateMachine string // "log", "kv", or a name that an embedding program registers
	ClientAuth   string // "none", the only value yet
	Durability   string // "disk" or "memory"
	DataDir      string // replica i keeps its data in the directory i in it
	HistoryKeep  int    // bytes of executed batches kept on disk; All: every one

	LossPercent                float64 // share of messages between replicas that is thrown away, 0 to 100
	RetryTimesBeforeViewChange int     // failures of a request before a client complains
	SyncInterval               time.Duration
	NetworkTimeout             time.Duration // of one HTTP call
	ViewChangeTimeout          time.Duration
	ClientRetry                time.Duration // before a client asks every replica
	MaxDrift                   time.Duration // between a proposal's clock and one's own

	CheckpointInterval int // K, in batches
	WindowCheckpoints  int // L/K
	Pipeline           int // own batches in flight, at most L-K
	Depth              int // own batches in flight beyond which only full ones are proposed
	MaxBatch           int // requests of a batch
	MaxBatchBytes      int // bytes of a batch
	WindowBytes        int // bytes of the batches of one view above the stable checkpoint

	ClientWindow       int // W, numbers of a client that may be in flight; a multiple of 64
	ReplyBytes         int // bytes of results kept per client for retransmissions
	MaxCachedResult    int // bytes of the largest result that is kept there
	MaxClients         int // clients remembered; beyond it the one idle longest is forgotten
	MaxPending         int // requests that wait to be ordered
	MaxPendingBytes    int // bytes of them
	ClientPendingBytes int // bytes of them of one client
	ResultCache        int // bytes of results kept at this replica alone
	HistoryBytes       int // bytes of executed batches kept in memory
	StatusBudget       int // bytes sent to repair one peer per sync interval

	AllowReplyHosts []string // hosts of reply URLs, beside loopback and those of Clients

	Notes []string // what was adjusted, for the log
}

// The values of Durability.
const (
	Disk   = "disk"   // a restarted replica goes on where it was
	Memory = "memory" // a restarted replica has lost what it promised
)

// diskDepth is the Depth of replicas that keep their promises on disk, unless the
// file says otherwise: while one batch waits for a sync another one is executed.
const diskDepth = 2

// All is the HistoryKeep that lets nothing go.
const All = -1

// ReplicaDir is the data directory of replica i.
func (c *Config) ReplicaDir(i int) string { return filepath.Join(c.DataDir, strconv.Itoa(i)) }

// Node is one replica.
type Node struct {
	Host     string // name or IP address, to listen on and to dial
	Port     int    // for clients: gRPC and JSON
	PeerPort int    // for the other replicas
}

// Addr is where clients reach the node.
func (n Node) Addr() string { return net.JoinHostPort(n.Host, strconv.Itoa(n.Port)) }

// PeerAddr is where the other replicas reach the node.
func (n Node) PeerAddr() string { return net.JoinHostPort(n.Host, strconv.Itoa(n.PeerPort)) }

// Endpoint is a host and a port.
type Endpoint struct {
	Host string
	Port int
}

// Addr is host:port.
func (e Endpoint) Addr() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// F is the number of faulty replicas that the cluster tolerates.
func (c *Config) F() int { return (len(c.Nodes) - 1) / 3 }

// Window is L, the batches between the low and the high watermark.
func (c *Config) Window() int { return c.CheckpointInterval * c.WindowCheckpoints }

// MaxOperationBytes is the size of the largest operation that is ordered.
func (c *Config) MaxOperationBytes() int { return c.MaxBatchBytes - requestOverhead }

// defaults is the configuration of a file that names nothing.
func defaults() *Config {
	return &Config{
		StateMachine: "log",
		ClientAuth:   "none",
		Durability:   Disk,
		DataDir:      "data",
		HistoryKeep:  1 << 30,

		RetryTimesBeforeViewChange: 2,
		SyncInterval:               500 * time.Millisecond,
		NetworkTimeout:             5 * time.Second,
		ViewChangeTimeout:          2 * time.Second,
		ClientRetry:                time.Second,
		MaxDrift:                   5 * time.Second,

		CheckpointInterval: 128,
		WindowCheckpoints:  4,
		Pipeline:           32,
		Depth:              1,
		MaxBatch:           8192,
		MaxBatchBytes:      1 << 20,
		WindowBytes:        256 << 20,

		ClientWindow:       1024,
		ReplyBytes:         64 << 10,
		MaxCachedResult:    4 << 10,
		MaxClients:         10_000,
		MaxPending:         20_000,
		MaxPendingBytes:    64 << 20,
		ClientPendingBytes: 4 << 20,
		ResultCache:        64 << 20,
		HistoryBytes:       64 << 20,
		StatusBudget:       1 << 20,
	}
}

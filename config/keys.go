package config

import (
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// key is a key of the file that holds one value. One table serves reading,
// checking, printing and the digest of what replicas must agree on.
type key struct {
	name   string // "a.b" is b in the mapping a
	note   string // what it is, for the printed configuration
	agreed bool   // changes what replicas accept or execute
	kind   kind
}

// kind reads and prints the value of one field of a Config.
type kind interface {
	// read sets the field. An error says what is allowed.
	read(c *Config, v scalar) error
	// text is the field as a file would say it.
	text(c *Config) string
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// minBatchBytes lets the largest group of requests into a batch: a group is
// never split.
const minBatchBytes = crypto.MaxGroupBytes + requestOverhead

// MaxTimeout is the longest view change timeout that doubling reaches (T_max).
const MaxTimeout = time.Minute

var keys = []key{
	{"state_machine", "log, kv, or one that this program brings along", true, name{func(c *Config) *string { return &c.StateMachine }}},
	{"client_auth", "who may send requests", true, choice{[]string{"none"}, []string{"signature"}, func(c *Config) *string { return &c.ClientAuth }}},
	{"durability", "what a restarted replica remembers: everything, or nothing", false, choice{[]string{"disk", "memory"}, nil, func(c *Config) *string { return &c.Durability }}},
	{"data_dir", "directory of the replicas' data, each in one named by its index", false, path{func(c *Config) *string { return &c.DataDir }}},
	{"history_keep", "bytes of executed batches kept on disk, or all", false, sizeOrAll{size{mib, 1024 * gib, func(c *Config) *int { return &c.HistoryKeep }}}},

	{"loss%", "messages between replicas thrown away at random", false, number{0, 100, func(c *Config) *float64 { return &c.LossPercent }}},
	{"retry_times_before_view_change", "failures before a client complains", false, integer{1, 1000, 1, func(c *Config) *int { return &c.RetryTimesBeforeViewChange }}},
	{"sync_interval", "seconds between two status messages", false, seconds{10 * time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.SyncInterval }}},
	{"misc.network_timeout", "seconds of one HTTP call", false, seconds{10 * time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.NetworkTimeout }}},
	{"view_change_timeout", "seconds without progress", false, seconds{100 * time.Millisecond, MaxTimeout, func(c *Config) *time.Duration { return &c.ViewChangeTimeout }}},
	{"client_retry", "seconds before a client asks every replica", false, seconds{10 * time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.ClientRetry }}},
	{"max_drift", "seconds between the clocks of two replicas", false, seconds{10 * time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.MaxDrift }}},

	{"ckpt_interval", "batches between checkpoints", true, integer{1, 4096, 1, func(c *Config) *int { return &c.CheckpointInterval }}},
	{"window_checkpoints", "checkpoints in the window", true, integer{2, 64, 1, func(c *Config) *int { return &c.WindowCheckpoints }}},
	{"pipeline", "batches in flight", false, integer{1, 4096, 1, func(c *Config) *int { return &c.Pipeline }}},
	{"depth", "batches in flight beyond which only full ones follow", false, integer{1, 4096, 1, func(c *Config) *int { return &c.Depth }}},
	{"max_batch", "requests of a batch", true, integer{crypto.MaxGroup, 1 << 20, 1, func(c *Config) *int { return &c.MaxBatch }}},
	{"max_batch_bytes", "bytes of a batch", true, size{minBatchBytes, 64 * mib, func(c *Config) *int { return &c.MaxBatchBytes }}},
	{"window_bytes", "bytes of the batches in the window", true, size{2 * minBatchBytes, 64 * gib, func(c *Config) *int { return &c.WindowBytes }}},

	{"client_window", "numbers of a client in flight", true, integer{64, 1 << 16, 64, func(c *Config) *int { return &c.ClientWindow }}},
	{"reply_bytes", "bytes of results kept per client", true, size{kib, 16 * mib, func(c *Config) *int { return &c.ReplyBytes }}},
	{"max_cached_result", "bytes of the largest result kept", true, size{64, 16 * mib, func(c *Config) *int { return &c.MaxCachedResult }}},
	{"max_clients", "clients remembered", true, integer{1, 1_000_000, 1, func(c *Config) *int { return &c.MaxClients }}},
	{"max_pending", "requests that wait", false, integer{crypto.MaxGroup, 10_000_000, 1, func(c *Config) *int { return &c.MaxPending }}},
	{"max_pending_bytes", "bytes of them", false, size{minBatchBytes, 64 * gib, func(c *Config) *int { return &c.MaxPendingBytes }}},
	{"client_pending_bytes", "bytes of them of one client", false, size{minBatchBytes, 64 * gib, func(c *Config) *int { return &c.ClientPendingBytes }}},
	{"result_cache", "bytes of results kept at this replica", false, size{mib, 1024 * gib, func(c *Config) *int { return &c.ResultCache }}},
	{"history_bytes", "bytes of executed batches kept in memory", false, size{mib, 1024 * gib, func(c *Config) *int { return &c.HistoryBytes }}},
	{"status_budget", "bytes to repair one peer per sync_interval", false, size{minBatchBytes, gib, func(c *Config) *int { return &c.StatusBudget }}},
}

// Keys of the file that hold more than one value, or one that is derived.
const (
	keyNodes      = "nodes"
	keyClients    = "clients"
	keyMisc       = "misc"
	keyClusterID  = "cluster_id"
	keyReplyHosts = "allow_reply_hosts"
)

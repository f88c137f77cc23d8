package config

import (
	"fmt"
	"net"
	"strconv"

	"github.com/pbft-go/pbft/crypto"
)

// freshDigests is M, the distinct fresh proposals that a replica accepts at
// one number: a constant of the protocol's version.
const freshDigests = 2

// maxViewChangeBytes is the size of the largest view change that is accepted.
const maxViewChangeBytes = mib

// check looks at combinations. Every value on its own is in range.
func (p *parser) check() {
	p.checkCount()
	p.checkPorts()
	if len(p.errs) > 0 {
		return
	}
	if p.config.ClusterID == (crypto.ClusterID{}) {
		p.config.ClusterID = clusterIDOf(p.config.Nodes)
	}
	p.checkViewChange()
	p.checkBytes()
	p.checkPending()
	p.lowerPipeline()
}

func (p *parser) checkCount() {
	line := p.lines[keyNodes]
	switch n := len(p.config.Nodes); {
	case n == 0:
		p.fail(line, keyNodes, "is an empty list, needs 1 replica to try things out, or 4 to %d", MaxNodes)
	case n == 2 || n == 3:
		p.fail(line, keyNodes, "%d replicas tolerate no faulty one, and any that stops would stop them all: n replicas tolerate (n-1)/3, so use 1 to try things out, or 4 to %d", n, MaxNodes)
	case n > MaxNodes:
		p.fail(line, keyNodes, "%d replicas, the most allowed is %d", n, MaxNodes)
	}
}

// checkPorts refuses two listeners on one address.
func (p *parser) checkPorts() {
	type use struct {
		key  string
		line int
	}
	taken := map[string]use{}
	claim := func(host string, port int, entry, key string) {
		if host == "localhost" {
			host = "127.0.0.1"
		}
		line := p.lines[entry+"."+key]
		if line == 0 { // a default
			line = p.lines[entry]
			key += " (default)"
		}
		u := use{entry + "." + key, line}
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		if first, ok := taken[addr]; ok {
			p.fail(u.line, u.key, "is %d, but %s in line %d is port %d on %s too: every port of a host may be used once", port, first.key, first.line, port, host)
			return
		}
		taken[addr] = u
	}
	for i, n := range p.config.Nodes {
		entry := fmt.Sprintf("%s[%d]", keyNodes, i)
		claim(n.Host, n.Port, entry, "port")
		claim(n.Host, n.PeerPort, entry, "peer_port")
	}
	for i, e := range p.config.Clients {
		claim(e.Host, e.Port, fmt.Sprintf("%s[%d]", keyClients, i), "port")
	}
}

// checkViewChange makes sure that the largest view change fits. Per number of
// the window it holds at most one entry of P and n*M+1 of Q; before them come
// the fixed fields and a certificate of at most n votes. The sizes hold for
// canonical bytes and for protobuf.
func (p *parser) checkViewChange() {
	const entry, vote, fixed = 64, 192, 256
	c, n := p.config, len(p.config.Nodes)
	most := (maxViewChangeBytes - fixed - n*vote) / (entry * (n*freshDigests + 2))
	if c.Window() <= most {
		return
	}
	interval := most / c.WindowCheckpoints
	if p.lines["ckpt_interval"] > 0 {
		p.failKey("ckpt_interval", "makes a window of %d batches with window_checkpoints, %d: a view change among %d replicas describes at most %d, so the most allowed is %d",
			c.Window(), c.WindowCheckpoints, n, most, interval)
		return
	}
	p.note("ckpt_interval is %d by default, not %d: a view change among %d replicas describes a window of at most %d batches",
		interval, c.CheckpointInterval, n, most)
	c.CheckpointInterval = interval
}

// checkBytes fits a batch into the window: two checkpoint intervals of full
// batches must find room, or the window would close before a checkpoint
// opens it again.
func (p *parser) checkBytes() {
	c := p.config
	if c.MaxCachedResult > c.ReplyBytes {
		p.failKey("max_cached_result", "must be at most reply_bytes, %s", bytesText(int64(c.ReplyBytes)))
	}
	most := c.WindowBytes / (2 * c.CheckpointInterval)
	if most < minBatchBytes {
		p.failKey("window_bytes", "leaves %d bytes for each batch of two checkpoint intervals of %d batches, needs %s: allowed are %s and more",
			most, c.CheckpointInterval, bytesText(minBatchBytes), bytesText(2*int64(c.CheckpointInterval)*minBatchBytes))
		return
	}
	if c.MaxBatchBytes > most {
		p.note("max_batch_bytes lowered from %d to %d: window_bytes, %d, must hold two checkpoint intervals of %d batches",
			c.MaxBatchBytes, most, c.WindowBytes, c.CheckpointInterval)
		c.MaxBatchBytes = most
	}
}

// checkPending makes sure that the largest group and the largest request find
// room: a backup keeps one share in n of what waits.
func (p *parser) checkPending() {
	c, n := p.config, len(p.config.Nodes)
	if least := n * crypto.MaxGroup; c.MaxPending < least {
		p.failKey("max_pending", "must be at least %d: each of %d replicas needs room for a group of %d", least, n, crypto.MaxGroup)
	}
	batch := bytesText(int64(c.MaxBatchBytes))
	if least := int64(n) * int64(c.MaxBatchBytes); int64(c.MaxPendingBytes) < least {
		p.failKey("max_pending_bytes", "must be at least %s: each of %d replicas needs room for max_batch_bytes, %s", bytesText(least), n, batch)
	}
	if c.ClientPendingBytes < c.MaxBatchBytes {
		p.failKey("client_pending_bytes", "must be at least max_batch_bytes, %s", batch)
	}
	if c.StatusBudget < c.MaxBatchBytes {
		p.failKey("status_budget", "must be at least max_batch_bytes, %s: a lost batch could not be repaired", batch)
	}
}

// lowerPipeline keeps one checkpoint interval of the window free, in which the
// next checkpoint becomes stable.
func (p *parser) lowerPipeline() {
	c := p.config
	if p.lines["depth"] == 0 && c.Durability == Disk {
		c.Depth = diskDepth
	}
	if most := c.Window() - c.CheckpointInterval; c.Pipeline > most {
		p.note("pipeline lowered from %d to %d: the window of %d batches less one checkpoint interval", c.Pipeline, most, c.Window())
		c.Pipeline = most
	}
	if c.Depth > c.Pipeline {
		p.note("depth lowered from %d to %d, the pipeline", c.Depth, c.Pipeline)
		c.Depth = c.Pipeline
	}
}

// failKey reports a key of the table with its present value.
func (p *parser) failKey(name, format string, args ...any) {
	for _, k := range keys {
		if k.name != name {
			continue
		}
		value := k.kind.text(p.config)
		if p.lines[name] == 0 {
			value += " (default)"
		}
		p.fail(p.lines[name], name, "is %s, %s", value, fmt.Sprintf(format, args...))
	}
}

func (p *parser) note(format string, args ...any) {
	p.config.Notes = append(p.config.Notes, fmt.Sprintf(format, args...))
}

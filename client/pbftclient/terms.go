package pbftclient

import (
	"fmt"
	"strings"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// terms are what a replica says of its cluster. One may lie: nothing is sent
// before f+1 say the same.
type terms struct {
	cluster           crypto.ClusterID
	window            uint64 // outstanding numbers of a client span at most this
	group, groupBytes int    // of requests
	operation         int    // bytes
}

// maxWindow bounds the memory that a window costs.
const maxWindow = 1 << 20

// termsOf takes a replica's introduction. It refuses one that is not the
// replica, or of the cluster, that this client was told of.
func (k *conn) termsOf(info *wire.ServerInfo) (terms, error) {
	t := terms{info.Cluster, info.ClientWindow, info.MaxGroup, info.MaxGroupBytes, info.MaxOperationBytes}
	switch n := len(k.c.conns); {
	case info.Replicas != n:
		return t, fmt.Errorf("it says that its cluster has %d replicas, not %d", info.Replicas, n)
	case info.Index != k.index:
		return t, fmt.Errorf("it says that it is replica %d: the addresses are mixed up", info.Index)
	case k.c.o.ClusterID != nil && *k.c.o.ClusterID != info.Cluster:
		return t, fmt.Errorf("it belongs to cluster %s, not %s: its configuration differs", info.Cluster, *k.c.o.ClusterID)
	case t.window < 1 || t.window > maxWindow || t.group < 1 || t.group > crypto.MaxGroup || t.groupBytes < 1 || t.operation < 1:
		return t, fmt.Errorf("its limits make no sense: window %d, group of %d requests and %d bytes, operation of %d bytes", t.window, t.group, t.groupBytes, t.operation)
	}
	return t, nil
}

// introduce takes a replica's description of itself. Its error ends the
// stream.
func (c *Client) introduce(k *conn, info *wire.ServerInfo) error {
	t, err := k.termsOf(info)
	if err == nil && c.settled && t.cluster != c.cluster {
		err = fmt.Errorf("it belongs to cluster %s, others to %s", t.cluster, c.cluster)
	}
	if err != nil {
		k.terms = terms{}
		return err
	}
	k.terms, k.normal = t, info.Normal
	c.learn(k, info.View)
	c.wakeTarget()
	equal := 0
	for _, o := range c.conns {
		if o.terms == t {
			equal++
		}
	}
	if equal > c.f && (!c.settled || c.terms != t) {
		c.settle(t)
	}
	return nil
}

// settle takes over terms that f+1 replicas share.
func (c *Client) settle(t terms) {
	c.settled, c.terms, c.cluster = true, t, t.cluster
	for _, s := range c.sessions {
		s.moved()
	}
	for _, k := range c.conns {
		if k.up && k.terms.cluster != t.cluster {
			k.cancel() // it comes back and is told why not
		}
		k.wakeUp()
	}
}

// learn takes over what a replica says of its view: the client moves to the
// highest view that f+1 replicas claim to have reached.
func (c *Client) learn(k *conn, view uint64) {
	if view <= k.view {
		return
	}
	k.view = view
	if view <= c.view {
		return
	}
	for _, candidate := range c.conns {
		reached := 0
		for _, other := range c.conns {
			if other.view >= candidate.view {
				reached++
			}
		}
		if reached > c.f && candidate.view > c.view {
			c.view = candidate.view
			c.wakeTarget()
		}
	}
}

// target is the replica that new requests go to: the primary that the client
// believes in, or else the next one that is connected, if possible one that
// takes part in ordering.
func (c *Client) target() (k *conn, isPrimary bool) {
	n := uint64(len(c.conns))
	for i := range n {
		switch next := c.conns[(c.view+i)%n]; {
		case next.up && next.normal:
			return next, i == 0
		case next.up && k == nil:
			k, isPrimary = next, i == 0
		}
	}
	return k, isPrimary
}

func (c *Client) wakeTarget() {
	if len(c.waiting) == 0 {
		return
	}
	if k, _ := c.target(); k != nil {
		k.wakeUp()
	}
}

// state says for errors how the client stands.
func (c *Client) state() string {
	up := 0
	var errs []string
	for _, k := range c.conns {
		switch {
		case k.up:
			up++
		case k.err != nil:
			errs = append(errs, fmt.Sprintf("replica %d at %s: %v", k.index, k.addr, k.err))
		}
	}
	s := fmt.Sprintf("%d of %d replicas connected, %d needed", up, len(c.conns), c.f+1)
	if len(errs) > 0 {
		s += "; " + strings.Join(errs, "; ")
	}
	return s
}

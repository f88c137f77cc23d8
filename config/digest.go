package config

import (
	"crypto/sha256"
	"strconv"

	"github.com/pbft-go/pbft/crypto"
)

// Value is a name and a value that all replicas must agree on.
type Value struct{ Name, Value string }

// Agreed lists what changes which messages a replica accepts or what it
// executes: the replicas of a cluster must have it alike. Timeouts, quotas
// and addresses are each replica's own.
func (c *Config) Agreed() []Value {
	values := []Value{
		{"replicas", strconv.Itoa(len(c.Nodes))},
		{"fresh_digests", strconv.Itoa(freshDigests)},
		{"max_group", strconv.Itoa(crypto.MaxGroup)},
		{"max_group_bytes", bytesText(crypto.MaxGroupBytes)},
	}
	for _, k := range keys {
		if k.agreed {
			values = append(values, Value{k.name, k.kind.text(c)})
		}
	}
	return values
}

// Digest is the digest of the epoch configuration, over Agreed.
func (c *Config) Digest() crypto.Digest {
	values := c.Agreed()
	b := crypto.AppendU32(nil, uint32(len(values)))
	for _, v := range values {
		b = crypto.AppendString(b, v.Name)
		b = crypto.AppendString(b, v.Value)
	}
	return c.ClusterID.Hash(crypto.TagConfig, b)
}

// clusterIDOf names a cluster by its replicas' addresses, in order.
func clusterIDOf(nodes []Node) crypto.ClusterID {
	b := crypto.AppendU32(nil, uint32(len(nodes)))
	for _, n := range nodes {
		b = crypto.AppendString(b, n.Host)
		b = crypto.AppendU16(b, uint16(n.Port))
		b = crypto.AppendU16(b, uint16(n.PeerPort))
	}
	return sha256.Sum256(b)
}

package config

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pbft-go/pbft/crypto"
)

// Offline is the configuration under which a data directory was written, as far
// as it matters to what is in it: the values that replicas must agree on, by
// name. Addresses, and what is each replica's own, are made up.
func Offline(id crypto.ClusterID, agreed map[string]string) (*Config, error) {
	n, err := strconv.Atoi(agreed["replicas"])
	if err != nil || n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("replicas is %q, allowed are 1 to %d", agreed["replicas"], MaxNodes)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", keyClusterID, hex.EncodeToString(id[:]))
	for _, k := range keys {
		if v, ok := agreed[k.name]; ok && k.agreed {
			fmt.Fprintf(&b, "%s: %s\n", k.name, v)
		}
	}
	b.WriteString("status_budget: 1 GiB\nmax_pending_bytes: 64 GiB\nclient_pending_bytes: 64 GiB\n") // enough for any batch
	fmt.Fprintf(&b, "%s:\n", keyNodes)
	for i := range n {
		fmt.Fprintf(&b, "  - {host: 127.0.0.1, port: %d, peer_port: %d}\n", 1024+2*i, 1025+2*i)
	}
	c, err := Parse("the data directory's values", []byte(b.String()))
	if err != nil {
		return nil, err
	}
	for _, v := range c.Agreed() {
		if agreed[v.Name] != v.Value {
			return nil, fmt.Errorf("%s is %q, this program would have %q: run the version that wrote the directory", v.Name, agreed[v.Name], v.Value)
		}
	}
	for name := range agreed {
		if !slices.ContainsFunc(c.Agreed(), func(v Value) bool { return v.Name == name }) {
			return nil, fmt.Errorf("%s is unknown: run the version that wrote the directory", name)
		}
	}
	return c, nil
}

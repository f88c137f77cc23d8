package replica_test

import (
	"strconv"
	"testing"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// TestConfigAgreesWithTheCore holds the constants that the configuration's
// digest names against those that the core and the codecs use: config may not
// import them.
func TestConfigAgreesWithTheCore(t *testing.T) {
	c, err := config.Parse("test", []byte("nodes: [{host: localhost, port: 1}]"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"fresh_digests": strconv.Itoa(consensus.M), "max_group": strconv.Itoa(crypto.MaxGroup),
		"max_group_bytes": strconv.Itoa(crypto.MaxGroupBytes>>10) + " KiB",
	}
	for _, v := range c.Agreed() {
		if n, ok := want[v.Name]; ok {
			if v.Value != n {
				t.Errorf("%s is %s in the configuration, %s in the code", v.Name, v.Value, n)
			}
			delete(want, v.Name)
		}
	}
	for name := range want {
		t.Errorf("%s is no agreed value", name)
	}
	if config.MaxNodes != message.MaxReplicas {
		t.Errorf("config allows %d replicas, the protocol %d", config.MaxNodes, message.MaxReplicas)
	}
	for n := 4; n <= config.MaxNodes; n++ {
		c.Nodes = make([]config.Node, n)
		if c.F() != consensus.MaxFaulty(n) {
			t.Errorf("n=%d: f is %d in config, %d in the core", n, c.F(), consensus.MaxFaulty(n))
		}
	}
}

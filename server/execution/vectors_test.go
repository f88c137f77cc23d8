package execution

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/statemachine"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew: a change of it is a new version of the protocol")

const vectorsFile = "testdata/vectors.json"

// vectors fix the bytes of every root: batches as they were ordered, and what
// must come of them at every replica. Bytes are hexadecimal.
type vectors struct {
	About   string         `json:"about"`
	Cluster string         `json:"cluster_id"`
	Config  vectorsConfig  `json:"config"`
	Batches []vectorsBatch `json:"batches"`
	State   [][2]string    `json:"state"` // keys and values after the last batch
	Buckets map[string]int `json:"buckets"`
}

type vectorsConfig struct {
	ClientWindow    int    `json:"client_window"`
	MaxCachedResult int    `json:"max_cached_result"`
	ReplyBytes      int    `json:"reply_bytes"`
	MaxClients      int    `json:"max_clients"`
	ConfigDigest    string `json:"config_digest"`
}

type vectorsBatch struct {
	N           uint64         `json:"n"`
	Epoch       uint64         `json:"epoch"`
	TimeUS      int64          `json:"time_us"`
	Digest      string         `json:"digest"`
	Body        string         `json:"body"` // absent: the null batch
	Blocks      []vectorsBlock `json:"blocks"`
	ResultsRoot string         `json:"results_root"`
	AppRoot     string         `json:"app_root"`
	ClientsRoot string         `json:"clients_root"`
	HistoryRoot string         `json:"history_root"`
	Checkpoint  string         `json:"checkpoint_digest"`
}

type vectorsBlock struct {
	Client  string   `json:"client"`
	Session uint64   `json:"session"`
	Results []string `json:"results"` // canonical bytes of each entry
	Digest  string   `json:"digest"`
}

// ledger puts each operation KEY=VALUE, deletes on KEY, and answers with what
// was there before.
type ledger struct{ content map[string]string }

func (a *ledger) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	for _, op := range b.Ops {
		key, value, put := strings.Cut(string(op.Data), "=")
		old, _ := st.Get([]byte(key))
		r.Add(old)
		if put {
			st.Put([]byte(key), []byte(value))
			a.content[key] = value
		} else {
			st.Delete([]byte(key))
			delete(a.content, key)
		}
	}
}

func makeVectors(t *testing.T) *vectors {
	app := &ledger{content: map[string]string{}}
	l := newLab(t, app, func(c *Config) {
		c.Cluster = crypto.ClusterID(bytes.Repeat([]byte{0xc1}, 32))
		c.Epoch, c.ClientWindow, c.MaxCachedResult, c.ReplyBytes, c.MaxClients = 1, 64, 40, 100, 3
	})
	v := &vectors{
		About: "Ordered batches, and the roots after each. The application puts KEY=VALUE, deletes KEY, " +
			"and answers with the value that was there. Made by: go test ./server/execution -update",
		Cluster: hex.EncodeToString(l.cfg.Cluster[:]), Buckets: map[string]int{},
		Config: vectorsConfig{l.cfg.ClientWindow, l.cfg.MaxCachedResult, l.cfg.ReplyBytes, l.cfg.MaxClients, l.cfg.ConfigDigest.Hex()},
	}
	long := text(30)
	for _, groups := range [][]crypto.GroupView{
		{group(t, "alice", 7, op{0, "k=v"})},
		{group(t, "alice", 7, op{1, "k=" + text(41)}, op{2, "k=w"}), group(t, "bob", 1<<52, op{1 << 50, "empty="})},
		nil, // the null batch
		{},  // the empty batch
		{group(t, "alice", 7, op{1, "k=" + text(41)}), group(t, "alice", 8, op{1, "x=y"}), group(t, "bob", 5, op{3, "late=1"})},
		{group(t, "alice", 7, op{3, "a=" + long}, op{4, "a=" + long}, op{5, "a=" + long}, op{6, "a=" + long}, op{7, "a"}, op{8, "a=1"})},
		{group(t, "alice", 7, op{90, "far=1"}), group(t, "alice", 7, op{9, "k=2"}, op{100, "k=3"}), group(t, "carl", 1, op{0, "k=4"})},
		{group(t, "dora", 1, op{0, "k=5"}), group(t, "dora", 1, op{0, "k=5"})}, // bob is evicted
		{group(t, "dora", 1, op{1, "long=" + text(maxInline+1)}, op{2, "inline=" + text(maxInline)})},
	} {
		x := l.next(groups...)
		x.Epoch = 1
		if groups == nil {
			x.Batch, x.Digest = nil, l.cfg.Cluster.NullDigest(1, x.N)
		}
		if len(groups) == 0 {
			x.TimeUS = l.lastTimeUS
		}
		v.Batches = append(v.Batches, l.vector(x))
	}
	for _, k := range slices.Sorted(maps.Keys(app.content)) {
		v.State = append(v.State, [2]string{hex.EncodeToString([]byte(k)), hex.EncodeToString([]byte(app.content[k]))})
	}
	for _, k := range []string{"", "a", "k", "far", "The quick brown fox"} {
		v.Buckets[k] = bucketOf([]byte(k))
	}
	return v
}

func (l *lab) vector(x *consensus.Exec) vectorsBatch {
	out := l.Execute(x)
	s := out.State
	v := vectorsBatch{
		N: x.N, Epoch: x.Epoch, TimeUS: x.TimeUS, Digest: x.Digest.Hex(),
		AppRoot: s.AppRoot.Hex(), ClientsRoot: s.ClientsRoot.Hex(), HistoryRoot: s.HistoryRoot.Hex(),
		Checkpoint: message.CheckpointDigest(l.cfg.Cluster, s).Hex(),
	}
	if x.Batch != nil {
		v.Body = hex.EncodeToString(x.Batch.Body)
	}
	var leaves []crypto.Digest
	for i := range out.Blocks {
		b := &out.Blocks[i]
		vb := vectorsBlock{Client: b.Client, Session: b.Session, Digest: b.Digest.Hex()}
		for j := range b.Results {
			vb.Results = append(vb.Results, hex.EncodeToString(crypto.AppendResult(nil, b.Session, &b.Results[j])))
		}
		v.Blocks = append(v.Blocks, vb)
		leaves = append(leaves, l.cfg.Cluster.ResultLeaf([]byte(b.Client), b.Session, b.Digest))
	}
	v.ResultsRoot = l.cfg.Cluster.MerkleRoot(leaves).Hex()
	return v
}

func TestVectors(t *testing.T) {
	got, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(vectorsFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the roots differ from those of %s, first at %s", vectorsFile, firstDifference(got, want))
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			return fmt.Sprintf("line %d: %s, want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("line %d: the end of one", min(len(g), len(w))+1)
}

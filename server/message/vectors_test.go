package message

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

// vector: digest is SHA-256(tag || cluster_id || canonical); for what is
// signed, signature is that of the replica's development key over the same.
type vector struct {
	Name      string `json:"name"`
	Tag       string `json:"tag"`
	Canonical string `json:"canonical"`
	Digest    string `json:"digest"`
	Signature string `json:"signature,omitempty"`
}

type vectors struct {
	About     string   `json:"about"`
	ClusterID string   `json:"cluster_id"`
	Vectors   []vector `json:"vectors"`
}

// testCluster is 00 01 02 ... 1f.
var testCluster = func() (c crypto.ClusterID) {
	for i := range c {
		c[i] = byte(i)
	}
	return c
}()

func digestOf(s string) crypto.Digest { return testCluster.Hash(crypto.TagValue, []byte(s)) }

func hashed(name string, tag crypto.Tag, canonical []byte) vector {
	return vector{
		Name: name, Tag: hex.EncodeToString([]byte(tag)), Canonical: hex.EncodeToString(canonical),
		Digest: testCluster.Hash(tag, canonical).Hex(),
	}
}

func signedBy(name string, tag crypto.Tag, canonical []byte, sig [crypto.SignatureSize]byte) vector {
	v := hashed(name, tag, canonical)
	v.Signature = hex.EncodeToString(sig[:])
	return v
}

func makeVectors() vectors {
	v := vectors{
		About: "Golden vectors of package message. All bytes are hexadecimal. vectors_test.go explains every field. " +
			"A change of a vector is a new version of the wire.",
		ClusterID: hex.EncodeToString(testCluster[:]),
	}
	batch := NewBatch(testCluster, Header{Epoch: 1, N: 9, WallUS: 1_700_000_000_000_000}, testGroups())
	empty := NewBatch(testCluster, Header{}, nil)
	largest := Header{Epoch: 1<<64 - 1, N: 1<<64 - 1, WallUS: -1, Count: 1<<32 - 1, Bytes: 1<<32 - 1, GroupsRoot: digestOf("root")}
	state := &State{
		Epoch: 2, N: 128, AppRoot: digestOf("app"), ClientsRoot: digestOf("clients"), HistoryRoot: digestOf("history"),
		HistorySize: 77, LastTimeUS: 1_700_000_000_000_001, ConfigDigest: digestOf("config"), NextConfigDigest: digestOf("next"),
	}
	first := *state
	first.NextConfigDigest = crypto.Digest{}
	certificate := testCertificate(128)
	change, newView := testViewChange(128), testNewView()
	genesis := &ViewChange{Epoch: 1, Replica: 3, NewView: 1}
	genesis.Signature = signer(3).Sign(testCluster, crypto.TagViewChange, genesis.AppendSigned(nil))

	v.Vectors = []vector{
		hashed("header of a batch", crypto.TagBatch, batch.Header.Append(nil)),
		hashed("header of a batch without groups", crypto.TagBatch, empty.Header.Append(nil)),
		hashed("header, largest values", crypto.TagBatch, largest.Append(nil)),
		{Name: "body of the batch above", Canonical: hex.EncodeToString(batch.Body), Digest: batch.Header.GroupsRoot.Hex()},
		{Name: "state", Tag: hex.EncodeToString([]byte(crypto.TagCheckpoint)), Digest: CheckpointDigest(testCluster, state).Hex()},
		{Name: "state without a next configuration", Tag: hex.EncodeToString([]byte(crypto.TagCheckpoint)), Digest: CheckpointDigest(testCluster, &first).Hex()},
		signedBy("checkpoint", crypto.TagCheckpoint, certificate.Votes[1].AppendSigned(nil), certificate.Votes[1].Signature),
		signedBy("view change on genesis", crypto.TagViewChange, genesis.AppendSigned(nil), genesis.Signature),
		signedBy("view change", crypto.TagViewChange, change.AppendSigned(nil), change.Signature),
		signedBy("new view", crypto.TagNewView, newView.AppendSigned(nil), newView.Signature),
	}
	return v
}

func TestGoldenVectors(t *testing.T) {
	got, err := json.MarshalIndent(makeVectors(), "", "\t")
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
	if bytes.Equal(got, want) {
		return
	}
	wantLines := strings.Split(string(want), "\n")
	for i, line := range strings.Split(string(got), "\n") {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("%s:%d differs: computed is\n%s\nA change here is a new version of the wire; if it is meant: go test ./server/message -run Golden -update", vectorsFile, i+1, line)
		}
	}
	t.Fatalf("%s has more lines than what is computed", vectorsFile)
}

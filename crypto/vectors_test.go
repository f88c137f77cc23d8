package crypto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

// hexBytes is written as hexadecimal digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// The vectors, for implementations in other languages as well: all bytes in
// hexadecimal digits, 64-bit numbers in decimal digits within a string, since
// many JSON readers round them. A change of any of them is a new version of
// the wire.
type vectors struct {
	About           string            `json:"about"`
	ClusterID       hexBytes          `json:"cluster_id"`
	Digests         []digestVector    `json:"digests"`
	Groups          []groupVector     `json:"groups"`
	Blocks          []blockVector     `json:"blocks"`
	Values          []valueVector     `json:"values"`
	NullBatches     []nullVector      `json:"null_batches"`
	MerkleRoots     []merkleVector    `json:"merkle_roots"`
	DevelopmentKeys []signatureVector `json:"development_keys"`
}

// digestVector: digest = SHA-256(tag || cluster_id || input).
type digestVector struct {
	Tag    hexBytes `json:"tag"`
	Input  hexBytes `json:"input"`
	Digest hexBytes `json:"digest"`
}

type requestVector struct {
	Number     uint64   `json:"number,string"`
	Kind       uint8    `json:"kind"`
	Op         hexBytes `json:"op"`
	ClientTime hexBytes `json:"client_time"` // 8 bytes, big-endian
	ReplyURL   string   `json:"reply_url"`
}

// groupVector: signed is what the client signs, canonical what replicas keep,
// digest the leaf of canonical in a batch's groups_root.
type groupVector struct {
	Name      string          `json:"name"`
	Client    string          `json:"client"`
	Session   uint64          `json:"session,string"`
	Requests  []requestVector `json:"requests"`
	Signature hexBytes        `json:"signature"`
	Origin    uint16          `json:"origin"`
	Signed    hexBytes        `json:"signed"`
	Canonical hexBytes        `json:"canonical"`
	Digest    hexBytes        `json:"digest"`
}

type resultVector struct {
	N         uint64   `json:"n,string"`
	Number    uint64   `json:"number,string"`
	Status    uint8    `json:"status"`
	Value     hexBytes `json:"value,omitempty"`
	Tombstone bool     `json:"tombstone,omitempty"`
	Digest    hexBytes `json:"digest,omitempty"`
	Size      uint64   `json:"size,string,omitempty"`
}

// blockVector: list is the canonical list of the results, digest that of the
// block, leaf the block's leaf in results_root.
type blockVector struct {
	Client  string         `json:"client"`
	Session uint64         `json:"session,string"`
	Results []resultVector `json:"results"`
	List    hexBytes       `json:"list"`
	Digest  hexBytes       `json:"digest"`
	Leaf    hexBytes       `json:"leaf"`
}

// valueVector: session is that of a request which came without one.
type valueVector struct {
	Value   hexBytes `json:"value"`
	Digest  hexBytes `json:"digest"`
	Session uint64   `json:"session,string"`
}

type nullVector struct {
	Epoch  uint64   `json:"epoch,string"`
	N      uint64   `json:"n,string"`
	Digest hexBytes `json:"digest"`
}

// merkleVector: leaf i of a tree is SHA-256(pbft1/leaf || cluster_id || u64 i).
type merkleVector struct {
	Leaves int        `json:"leaves"`
	Peaks  []hexBytes `json:"peaks"` // roots of the full subtrees, largest first
	Root   hexBytes   `json:"root"`
}

// signatureVector: the key is that of a replica in a cluster without key
// files, the signature that of tag || cluster_id || message.
type signatureVector struct {
	Index     int      `json:"index"`
	Public    hexBytes `json:"public"`
	Tag       hexBytes `json:"tag"`
	Message   hexBytes `json:"message"`
	Signature hexBytes `json:"signature"`
}

// testCluster is 00 01 02 ... 1f.
var testCluster = func() (c ClusterID) {
	for i := range c {
		c[i] = byte(i)
	}
	return c
}()

// allTags are the tags of version 1.
var allTags = []Tag{
	TagRequest, TagBatch, TagNull, TagGroup, TagBlock, TagResult, TagValue, TagLeaf, TagNode, TagBucket,
	TagClient, TagClientPage, TagCheckpoint, TagViewChange, TagNewView, TagReply, TagConfig, TagRejoin, TagOpen,
}

func makeVectors() vectors {
	v := vectors{
		About: "Golden vectors of package crypto. Bytes are hexadecimal, 64-bit numbers decimal strings. " +
			"vectors_test.go explains every field. A change of a vector is a new version of the wire.",
		ClusterID: testCluster[:],
	}
	long := bytes.Repeat([]byte("pbft"), 300) // longer than what is hashed on the stack
	digest := func(tag Tag, input []byte) {
		d := testCluster.Hash(tag, input)
		v.Digests = append(v.Digests, digestVector{hexBytes(tag), input, d[:]})
	}
	for _, tag := range allTags {
		digest(tag, nil)
		digest(tag, []byte("input"))
	}
	digest(TagBatch, long)
	for _, g := range vectorGroups() {
		v.Groups = append(v.Groups, makeGroupVector(g))
	}
	for _, b := range vectorBlocks() {
		v.Blocks = append(v.Blocks, makeBlockVector(b))
	}
	for _, value := range [][]byte{{}, []byte("put k v"), long} {
		d := testCluster.ValueDigest(value)
		v.Values = append(v.Values, valueVector{value, d[:], testCluster.SessionOfData(value)})
	}
	for _, n := range [][2]uint64{{0, 1}, {0, 1 << 40}, {3, 1}} {
		d := testCluster.NullDigest(n[0], n[1])
		v.NullBatches = append(v.NullBatches, nullVector{n[0], n[1], d[:]})
	}
	for _, leaves := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 100} {
		v.MerkleRoots = append(v.MerkleRoots, makeMerkleVector(leaves))
	}
	for _, index := range []int{0, 1, 63} {
		s, message := DevelopmentSigner(testCluster, index), []byte("message")
		sig := s.Sign(testCluster, TagCheckpoint, message)
		v.DevelopmentKeys = append(v.DevelopmentKeys, signatureVector{index, hexBytes(s.Public()), hexBytes(TagCheckpoint), message, sig[:]})
	}
	return v
}

type namedGroup struct {
	name string
	Group
}

func vectorGroups() []namedGroup {
	return []namedGroup{
		{"smallest", Group{
			Client:   "a",
			Requests: []Request{{Kind: KindOperation, ClientTime: NoClientTime}},
		}},
		{"one request by JSON", Group{
			Client: "1", Session: testCluster.SessionOfData([]byte("data")), Origin: 3,
			Requests: []Request{{
				Number: 7, Kind: KindOperation, Op: []byte("data"),
				ClientTime: 0x41d954fc40200000, // 1700000000.5
				ReplyURL:   []byte("http://localhost:20001/reply"),
			}},
		}},
		{"signed, largest values", Group{
			Client: strings.Repeat("ü", 32), Session: 1<<64 - 1, Origin: 1<<16 - 1,
			Signature: bytes.Repeat([]byte{0xa5}, SignatureSize),
			Requests: []Request{
				{Number: 0, Kind: KindRead, Op: []byte{0}, ClientTime: 0},
				{Number: 1, Kind: KindConfig, Op: []byte{0xff}, ClientTime: 1<<64 - 1},
				{Number: MaxNumber, Kind: KindRejoin, Op: bytes.Repeat([]byte("x"), 300), ClientTime: NoClientTime},
			},
		}},
	}
}

func makeGroupVector(g namedGroup) groupVector {
	canonical := g.Append(nil)
	leaf := testCluster.Hash(TagGroup, canonical)
	v := groupVector{
		Name: g.name, Client: g.Client, Session: g.Session, Signature: g.Signature, Origin: g.Origin,
		Signed: g.AppendSigned(nil), Canonical: canonical, Digest: leaf[:],
	}
	for _, r := range g.Requests {
		v.Requests = append(v.Requests, requestVector{r.Number, uint8(r.Kind), r.Op, AppendU64(nil, r.ClientTime), string(r.ReplyURL)})
	}
	return v
}

type block struct {
	client  string
	session uint64
	results []Result
}

func vectorBlocks() []block {
	return []block{
		{"a", 1, []Result{{N: 1, Number: 0, Status: StatusOK}}},
		{strings.Repeat("ü", 32), 1<<64 - 1, []Result{
			{N: 5, Number: 7, Status: StatusOK, Value: []byte("41")},
			{N: 0, Number: 3, Status: StatusExpired},
			{N: 4, Number: 6, Status: StatusRejected},
			{N: 1 << 40, Number: MaxNumber, Status: StatusOK, Tombstone: true, Digest: testCluster.ValueDigest([]byte("large")), Size: 5},
		}},
	}
}

func makeBlockVector(b block) blockVector {
	v := blockVector{Client: b.client, Session: b.session}
	for i := range b.results {
		r := &b.results[i]
		v.List = AppendResult(v.List, b.session, r)
		result := resultVector{N: r.N, Number: r.Number, Status: uint8(r.Status), Value: r.Value, Tombstone: r.Tombstone, Size: r.Size}
		if r.Tombstone {
			result.Digest = r.Digest[:]
		}
		v.Results = append(v.Results, result)
	}
	d := testCluster.BlockDigest(v.List)
	leaf := testCluster.ResultLeaf([]byte(b.client), b.session, d)
	v.Digest, v.Leaf = d[:], leaf[:]
	return v
}

func makeMerkleVector(leaves int) merkleVector {
	v := merkleVector{Leaves: leaves, Peaks: []hexBytes{}}
	var f Frontier
	for _, leaf := range testLeaves(leaves) {
		f.Append(testCluster, leaf)
	}
	for i := range f.Peaks {
		v.Peaks = append(v.Peaks, f.Peaks[i][:])
	}
	root := testCluster.MerkleRoot(testLeaves(leaves))
	v.Root = root[:]
	return v
}

func testLeaves(n int) []Digest {
	leaves := make([]Digest, n)
	for i := range leaves {
		leaves[i] = testCluster.Hash(TagLeaf, AppendU64(nil, uint64(i)))
	}
	return leaves
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
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("%s:%d differs: computed is\n%s\nA change here is a new version of the wire; if it is meant: go test ./crypto -run Golden -update", vectorsFile, i+1, line)
		}
	}
	t.Fatalf("%s has %d lines more than what is computed", vectorsFile, len(wantLines)-len(gotLines))
}

// The file must do without this test's types: each group's canonical bytes
// say what its fields say.
func TestGoldenGroupsParse(t *testing.T) {
	file, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Groups) == 0 {
		t.Fatal("no groups")
	}
	for _, want := range v.Groups {
		g, err := ParseGroup(want.Canonical)
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		if string(g.Client) != want.Client || g.Session != want.Session || g.Origin != want.Origin ||
			!bytes.Equal(g.Signature, want.Signature) || !bytes.Equal(g.Signed(), want.Signed) {
			t.Errorf("%s: parsed %+v", want.Name, g)
		}
		c := g.Cursor()
		for i, w := range want.Requests {
			var r Request
			if !c.Next(&r) || r.Number != w.Number || uint8(r.Kind) != w.Kind || !bytes.Equal(r.Op, w.Op) ||
				!bytes.Equal(AppendU64(nil, r.ClientTime), w.ClientTime) || string(r.ReplyURL) != w.ReplyURL {
				t.Errorf("%s: request %d is %+v", want.Name, i, r)
			}
		}
	}
}

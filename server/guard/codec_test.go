package guard

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// Later batches have numbers of several bytes, as in a cluster that has run
// for a while.
const someBatch = 1 << 20

// requestPath is what the gateway does with a batch's frames: it parses each
// and makes the canonical bytes of its group, which it checks.
type requestPath struct {
	tb     testing.TB
	frames [][]byte // one per client
	sizes  []int    // of their canonical groups
	in     wire.SessionRequest
}

func newRequestPath(tb testing.TB) path {
	p := &requestPath{tb: tb}
	for i := range clients {
		m := wire.SessionRequest{Groups: []wire.Group{{Handle: 3, Requests: requests(i, someBatch)}}}
		p.frames = append(p.frames, m.Append(nil))
		p.sizes = append(p.sizes, len(group(tb, i, someBatch).Raw))
	}
	return p
}

func (p *requestPath) prepare(int) {}

func (p *requestPath) handle() {
	for i, frame := range p.frames {
		if err := p.in.Parse(frame); err != nil {
			p.tb.Fatal(err)
		}
		g := crypto.Group{Client: "client-0", Session: session, Requests: p.in.Groups[0].Requests}
		view, err := crypto.ParseGroup(g.Append(make([]byte, 0, p.sizes[i])))
		if err == nil {
			err = message.CheckGroup(&view)
		}
		if err != nil || view.Count != groupSize {
			p.tb.Fatalf("a group of %d requests, error %v; want %d and none", view.Count, err, groupSize)
		}
	}
}

// proposalPath is what a backup does with the body of a pre-prepare.
type proposalPath struct {
	tb    testing.TB
	batch *message.Batch
}

func newProposalPath(tb testing.TB) path {
	h := message.Header{N: someBatch, WallUS: someBatch}
	return &proposalPath{tb, message.NewBatch(cluster, h, groups(tb, someBatch))}
}

func (p *proposalPath) prepare(int) {}

func (p *proposalPath) handle() {
	b, err := message.ParseBatch(cluster, limits, p.batch.Header, p.batch.Body)
	if err != nil {
		p.tb.Fatal(err)
	}
	if b.Digest != p.batch.Digest {
		p.tb.Fatalf("digest %s, want %s", b.Digest, p.batch.Digest)
	}
}

// replyPath is the answer to a batch: the replica encodes the block of each
// session, and the client parses it.
type replyPath struct {
	tb     testing.TB
	blocks []wire.SessionResponse // one per client
	buf    []byte
	in     wire.SessionResponse
}

func newReplyPath(tb testing.TB) path {
	p := &replyPath{tb: tb}
	for i := range clients {
		k := wire.Block{Handle: 3, N: someBatch, View: 1}
		for _, r := range requests(i, someBatch) {
			k.Results = append(k.Results, crypto.Result{N: someBatch, Number: r.Number, Status: crypto.StatusOK, Value: []byte("OK")})
		}
		p.blocks = append(p.blocks, wire.SessionResponse{Blocks: []wire.Block{k}})
	}
	return p
}

func (p *replyPath) prepare(int) {}

func (p *replyPath) handle() {
	for i := range p.blocks {
		p.buf = p.blocks[i].Append(p.buf[:0])
		if err := p.in.Parse(p.buf); err != nil {
			p.tb.Fatal(err)
		}
		if n := len(p.in.Blocks[0].Results); n != groupSize {
			p.tb.Fatalf("%d results, want %d", n, groupSize)
		}
	}
}

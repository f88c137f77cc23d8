package sim

import (
	"fmt"
	"io"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// tracer writes one line per event, if anybody wants to read them.
type tracer struct{ out io.Writer }

func newTracer(out io.Writer) *tracer { return &tracer{out: out} }

func (t *tracer) on() bool { return t.out != nil }

// line writes a line with the time in front.
func (t *tracer) line(w *world, format string, args ...any) {
	if t.out != nil {
		fmt.Fprintf(t.out, "%12.6f ", float64(w.now)/1e6)
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// delivered tells what a replica got.
func (t *tracer) delivered(h *host, from int, m message.Message) {
	if t.out != nil {
		t.line(h.w, "%s <- %d: %s", h.name, from, describe(m))
	}
}

// effects tells what the core wants done.
func (t *tracer) effects(h *host, out *consensus.Effects) {
	if t.out == nil {
		return
	}
	for _, s := range out.Describe() {
		t.line(h.w, "%s: %s", h.name, s)
	}
}

// describe is consensus.Describe and what the core never sees.
func describe(m message.Message) string {
	switch m := m.(type) {
	case *message.Reply:
		return fmt.Sprintf("reply %s#%d %s n%d", m.Client, m.Result.Number, m.Result.Status, m.Result.N)
	case *message.FetchReply:
		return fmt.Sprintf("fetch-reply %s#%d", m.Client, m.Number)
	case *message.FetchPieces:
		return fmt.Sprintf("fetch-pieces n%d of %d: %v from %d", m.N, m.Component, m.Indexes, m.Offset)
	case *message.Piece:
		return fmt.Sprintf("piece n%d of %d: %d, %d bytes", m.N, m.Component, m.Index, len(m.Data))
	}
	return consensus.Describe(m)
}

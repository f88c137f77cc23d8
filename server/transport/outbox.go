package transport

import (
	"sync"

	"github.com/pbft-go/pbft/server/message"
)

const (
	// maxQueued bounds what waits for one peer on one stream, in bytes. A full
	// outbox drops its oldest messages: Status repairs all of them, and what is
	// newest is most likely still of use.
	maxQueued = 64 << 20
	// maxFrame is the size from which a frame is closed.
	maxFrame = 4 << 20
)

// entry is a message that waits, or one that is encoded already.
type entry struct {
	msg  message.Message
	raw  []byte
	size int // bytes, about
}

// sizeOf is about what a message takes on the wire.
func sizeOf(m message.Message) int {
	const small = 96
	switch m := m.(type) {
	case *message.PrePrepare:
		return small + len(m.Batch.Body)
	case *message.Body:
		return small + len(m.Batch.Body)
	case *message.Relay:
		return small + len(m.Group.Raw)
	case *message.Reply:
		return small + len(m.Client) + len(m.Result.Value)
	case *message.Committed:
		return small + 48*len(m.Entries)
	case *message.FetchBody:
		return small + 34*len(m.Digests)
	case *message.Status:
		return 2*small + 8*len(m.Accepted)
	case *message.StableCertificate:
		return small + 160*len(m.Certificate.Votes)
	case *message.ViewChange:
		return small + 160*len(m.Certificate.Votes) + 48*(len(m.P)+len(m.Q))
	default:
		return small
	}
}

// outbox is a bounded queue that drops its oldest entries.
type outbox struct {
	mu      sync.Mutex
	open    bool // a stream takes from it
	entries []entry
	bytes   int
	dropped uint64
	bell    chan struct{}
}

func newOutbox() *outbox { return &outbox{bell: make(chan struct{}, 1)} }

func (o *outbox) put(e entry) {
	o.mu.Lock()
	if !o.open {
		o.mu.Unlock()
		return
	}
	o.entries = append(o.entries, e)
	o.bytes += e.size
	for o.bytes > maxQueued && len(o.entries) > 1 {
		o.bytes -= o.entries[0].size
		o.entries[0] = entry{}
		o.entries = o.entries[1:]
		o.dropped++
	}
	o.mu.Unlock()
	select {
	case o.bell <- struct{}{}:
	default:
	}
}

// take moves what waits, up to one frame, into buf.
func (o *outbox) take(buf []entry) []entry {
	o.mu.Lock()
	defer o.mu.Unlock()
	buf = buf[:0]
	size := 0
	for len(o.entries) > 0 && size < maxFrame {
		e := o.entries[0]
		o.entries[0] = entry{}
		o.entries = o.entries[1:]
		size += e.size
		buf = append(buf, e)
	}
	o.bytes -= size
	if len(o.entries) == 0 {
		o.entries = o.entries[:0:0]
	}
	return buf
}

// setOpen empties the outbox and says whether a stream takes from it.
func (o *outbox) setOpen(open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.entries, o.bytes = open, nil, 0
}

func (o *outbox) state() (bytes int, dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes, o.dropped
}

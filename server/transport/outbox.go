package transport

import (
	"sync"
	"sync/atomic"

	"github.com/pbft-go/pbft/server/message"
)

// class is a kind of messages with a bound of its own, so that none drives
// another one out.
type class uint8

const (
	control   class = iota // votes and gossip
	proposals              // PrePrepare
	bodies                 // Body and state, on the Bulk stream
	numClasses
)

// maxQueued bounds what waits for one peer in each class, in bytes. A full
// class drops its oldest messages and counts them: Status repairs them all,
// and the newest are most likely still of use.
var maxQueued = [numClasses]int{control: 8 << 20, proposals: 64 << 20, bodies: 64 << 20}

const (
	// maxFrame is the size that a frame does not exceed, unless by its only
	// message.
	maxFrame = 4 << 20
	// maxUrgent bounds the pings and pongs that wait, in bytes. More are
	// dropped: each peer asks one at a time.
	maxUrgent = 1 << 10
)

func classOf(m message.Message) class {
	switch m.(type) {
	case *message.PrePrepare:
		return proposals
	case *message.Body, *message.Manifest, *message.Nodes, *message.Piece:
		return bodies
	}
	return control
}

// entry is a message that waits.
type entry struct {
	seq  uint64 // order of arrival in the outbox
	msg  message.Message
	size int
}

// outbox is what waits for one stream. Senders never wait; one goroutine takes.
type outbox struct {
	bell    chan struct{}  // rings when something was put
	dropped *atomic.Uint64 // of the peer, over all its links

	mu     sync.Mutex
	seq    uint64
	queues [numClasses]fifo
	urgent []byte // pings and pongs, encoded
}

func newOutbox(dropped *atomic.Uint64) *outbox {
	return &outbox{bell: make(chan struct{}, 1), dropped: dropped}
}

// put queues a message.
func (o *outbox) put(m message.Message, size int) {
	c := classOf(m)
	o.mu.Lock()
	o.seq++
	q := &o.queues[c]
	q.push(entry{seq: o.seq, msg: m, size: size})
	for q.bytes > maxQueued[c] {
		q.pop()
		o.dropped.Add(1)
	}
	o.mu.Unlock()
	o.ring()
}

// putUrgent queues an encoded ping or pong before everything else.
func (o *outbox) putUrgent(field []byte) {
	o.mu.Lock()
	if len(o.urgent)+len(field) <= maxUrgent {
		o.urgent = append(o.urgent, field...)
	}
	o.mu.Unlock()
	o.ring()
}

func (o *outbox) ring() {
	select {
	case o.bell <- struct{}{}:
	default:
	}
}

// take moves what waits, up to one frame, into buf, in the order in which it
// was put. Urgent fields come apart: they go first.
func (o *outbox) take(buf []entry) (urgent []byte, taken []entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	urgent, o.urgent = o.urgent, nil
	taken = buf[:0]
	bytes := len(urgent)
	for {
		q := o.oldest()
		if q == nil || len(taken) > 0 && bytes+q.first().size > maxFrame {
			return urgent, taken
		}
		e := q.pop()
		bytes += e.size
		taken = append(taken, e)
	}
}

// oldest is the queue whose first entry came first, nil if nothing waits.
func (o *outbox) oldest() (found *fifo) {
	for c := range o.queues {
		q := &o.queues[c]
		if !q.empty() && (found == nil || q.first().seq < found.first().seq) {
			found = q
		}
	}
	return found
}

// queued is the size of everything that waits, in bytes.
func (o *outbox) queued() (bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.queues {
		bytes += o.queues[c].bytes
	}
	return bytes
}

// fifo is a queue in one slice: what is taken leaves a gap at its start, which
// is closed when it has grown to half.
type fifo struct {
	entries []entry
	head    int
	bytes   int
}

func (q *fifo) empty() bool { return q.head == len(q.entries) }

func (q *fifo) first() *entry { return &q.entries[q.head] }

func (q *fifo) push(e entry) {
	if q.head > 0 && len(q.entries) == cap(q.entries) && q.head >= len(q.entries)/2 {
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
	q.entries = append(q.entries, e)
	q.bytes += e.size
}

func (q *fifo) pop() entry {
	e := q.entries[q.head]
	q.entries[q.head] = entry{} // lets go of the message
	q.head++
	q.bytes -= e.size
	if q.empty() {
		q.entries, q.head = q.entries[:0], 0
	}
	return e
}

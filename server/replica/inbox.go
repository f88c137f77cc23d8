package replica

import (
	"sync"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

const (
	// peerShare is what one peer may have waiting before its reader stops and
	// flow control closes back on its stream. Room for several full frames.
	peerShare = 16 << 20
	// clientShare is what all clients may have waiting before groups are
	// refused as overload.
	clientShare = 32 << 20
	// clientItems bounds the same by number: an item costs more than its bytes.
	clientItems = 1 << 16
)

// item is one thing for the loop: a frame of a peer, a client's group, an
// input of the replica's own, or a function to run on the loop.
type item struct {
	from     int // peer, or fromClient, or fromSelf
	bytes    int
	msgs     []message.Message
	input    consensus.Input
	admitted func(consensus.Reason)
	run      func()
}

const (
	fromClient = -1
	fromSelf   = -2
)

// inbox is the loop's queue. The loop swaps it whole with a spare slice.
// Policies: a peer over its share blocks its own reader; a client's group over
// the share is refused; the replica's own inputs are never lost.
type inbox struct {
	mu      sync.Mutex
	room    []*sync.Cond // by peer
	items   []item
	bytes   []int // by peer
	peers   int   // items of peers
	clients load
	own     int // items
	closed  bool
	bell    chan struct{}
}

// load is what waits of one kind.
type load struct{ items, bytes int }

func newInbox(n int) *inbox {
	b := &inbox{bytes: make([]int, n), room: make([]*sync.Cond, n), bell: make(chan struct{}, 1)}
	for i := range b.room {
		b.room[i] = sync.NewCond(&b.mu)
	}
	return b
}

// put appends an item, after waiting for room if it is a peer's. It reports
// false if the item was refused or the inbox is closed.
func (b *inbox) put(it item) bool {
	b.mu.Lock()
	switch {
	case it.from >= 0:
		for !b.closed && b.bytes[it.from] > 0 && b.bytes[it.from]+it.bytes > peerShare {
			b.room[it.from].Wait()
		}
		b.bytes[it.from] += it.bytes
	case it.from == fromClient:
		if b.clients.items >= clientItems || b.clients.bytes+it.bytes > clientShare {
			b.mu.Unlock()
			return false
		}
		b.clients.items++
		b.clients.bytes += it.bytes
	}
	if b.closed {
		b.mu.Unlock()
		return false
	}
	switch {
	case it.from >= 0:
		b.peers++
	case it.from == fromSelf:
		b.own++
	}
	b.items = append(b.items, it)
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
	}
	return true
}

// swap takes everything that waits and leaves spare in its place.
func (b *inbox) swap(spare []item) (items []item, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	items, b.items = b.items, spare[:0]
	b.clients, b.peers, b.own = load{}, 0, 0
	for i := range b.bytes {
		if b.bytes[i] > 0 {
			b.bytes[i] = 0
			b.room[i].Broadcast()
		}
	}
	return items, b.closed
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	for _, c := range b.room {
		c.Broadcast()
	}
	b.mu.Unlock()
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// inboxFigures is what waits, by where it came from.
type inboxFigures struct {
	peers, clients load
	own            int
}

func (b *inbox) figures() inboxFigures {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := inboxFigures{peers: load{items: b.peers}, clients: b.clients, own: b.own}
	for _, n := range b.bytes {
		f.peers.bytes += n
	}
	return f
}

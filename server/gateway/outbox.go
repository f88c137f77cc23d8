package gateway

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/wire"
)

const (
	// outboxBytes bounds what waits for one stream's client. A client that
	// does not read this much is stuck, and its stream is closed: it opens
	// another and asks again for what it missed.
	outboxBytes = 32 << 20
	// responseBytes is when a response is full: small enough for the default
	// limit of every gRPC implementation, 4 MiB, unless one block alone is
	// larger.
	responseBytes = 1 << 20
	// maxRefusalText bounds the message of a refusal.
	maxRefusalText = 512
)

// outbox holds what waits for one session stream. Anybody adds; the stream's
// sender takes.
type outbox struct {
	wake chan struct{} // something was added, or the stream must end

	mu      sync.Mutex
	waiting wire.SessionResponse
	bytes   int   // waiting, or taken and not sent yet
	err     error // why the stream must end
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) addInfo(info *wire.ServerInfo) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting.Info = info // a newer one replaces one that still waits
	o.signal()
}

func (o *outbox) addBlock(b wire.Block) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reserve(blockSize(&b)) {
		o.waiting.Blocks = append(o.waiting.Blocks, b)
	}
}

func (o *outbox) addSingle(x wire.Single) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reserve(singleSize(&x)) {
		o.waiting.Singles = append(o.waiting.Singles, x)
	}
}

func (o *outbox) addRefusal(r wire.Refusal) {
	r.Message = clip(r.Message, maxRefusalText)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reserve(refusalSize(&r)) {
		o.waiting.Refusals = append(o.waiting.Refusals, r)
	}
}

// reserve makes room for size bytes, or ends the stream where there is none.
func (o *outbox) reserve(size int) bool {
	if o.err != nil {
		return false
	}
	o.bytes += size
	if o.bytes > outboxBytes {
		o.end(status.Errorf(codes.ResourceExhausted, "more than %d bytes of replies wait because the client does not read: open another stream and ask again", outboxBytes))
		return false
	}
	o.signal()
	return true
}

// fail ends the stream with err, a gRPC status, or nil for OK.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.end(err)
	}
}

func (o *outbox) end(err error) {
	o.err = err
	o.waiting = wire.SessionResponse{}
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take hands over all that waits, or why the stream must end. Its bytes count
// until they are released.
func (o *outbox) take() (wire.SessionResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.waiting
	o.waiting = wire.SessionResponse{}
	return r, o.err
}

// release says that size bytes were sent.
func (o *outbox) release(size int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes -= size
}

// pack moves from the front of r what fits into one message. At least one item
// is moved, and size is what was reserved for all of them.
func pack(r *wire.SessionResponse) (part wire.SessionResponse, size int) {
	results := 0
	part.Info, r.Info = r.Info, nil
	room := func(count, bytes, more int) bool {
		fits := count < wire.MaxItems && size+bytes <= responseBytes && results+more <= wire.MaxRequests
		if !fits && (size > 0 || count > 0) {
			return false
		}
		size += bytes
		results += more
		return true
	}
	n := 0
	for n < len(r.Refusals) && room(n, refusalSize(&r.Refusals[n]), 0) {
		n++
	}
	part.Refusals, r.Refusals = r.Refusals[:n], r.Refusals[n:]
	n = 0
	for n < len(r.Blocks) && room(n, blockSize(&r.Blocks[n]), len(r.Blocks[n].Results)) {
		n++
	}
	part.Blocks, r.Blocks = r.Blocks[:n], r.Blocks[n:]
	n = 0
	for n < len(r.Singles) && room(n, singleSize(&r.Singles[n]), 0) {
		n++
	}
	part.Singles, r.Singles = r.Singles[:n], r.Singles[n:]
	return part, size
}

// empty reports whether nothing is left to send.
func empty(r *wire.SessionResponse) bool {
	return r.Info == nil && len(r.Blocks) == 0 && len(r.Singles) == 0 && len(r.Refusals) == 0
}

// The sizes below are at least those on the wire, and about those in memory.

func blockSize(b *wire.Block) int {
	size := 96
	for i := range b.Results {
		size += 80 + len(b.Results[i].Value)
	}
	return size
}

func singleSize(x *wire.Single) int { return 192 + len(x.Client) + len(x.Result.Value) }

func refusalSize(r *wire.Refusal) int { return 80 + len(r.Message) }

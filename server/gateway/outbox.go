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
// sender takes. What is added is encoded at once: it keeps nothing alive, and
// takes the place that it will take on the wire.
type outbox struct {
	wake chan struct{} // something was added, or the stream must end

	mu      sync.Mutex
	info    *wire.ServerInfo // the newest one, or nil
	waiting []response
	usual   int   // bytes of the response before
	bytes   int   // waiting, or taken and not sent yet
	err     error // why the stream must end
}

// response is a SessionResponse in the making.
type response struct {
	data           []byte
	items, results int
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) addInfo(info *wire.ServerInfo) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.info = info // a newer one replaces one that still waits
	o.signal()
}

func (o *outbox) addBlock(b wire.Block) {
	o.add(blockSize(&b), len(b.Results), &wire.SessionResponse{Blocks: []wire.Block{b}})
}

func (o *outbox) addSingle(x wire.Single) {
	o.add(singleSize(&x), 0, &wire.SessionResponse{Singles: []wire.Single{x}})
}

func (o *outbox) addRefusal(r wire.Refusal) {
	r.Message = clip(r.Message, maxRefusalText)
	o.add(refusalSize(&r), 0, &wire.SessionResponse{Refusals: []wire.Refusal{r}})
}

// add encodes one item of at most size bytes that holds so many results, or
// ends the stream where there is no room.
func (o *outbox) add(size, results int, item *wire.SessionResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	if o.bytes+size > outboxBytes {
		o.end(status.Errorf(codes.ResourceExhausted, "more than %d bytes of replies wait because the client does not read: open another stream and ask again", outboxBytes))
		return
	}
	r := o.room(size, results)
	before := len(r.data)
	r.data = item.Append(r.data)
	r.items++
	r.results += results
	o.bytes += len(r.data) - before
	o.signal()
}

// room is the response that an item goes into: a new one if it does not fit
// into the last.
func (o *outbox) room(size, results int) *response {
	if n := len(o.waiting); n > 0 {
		r := &o.waiting[n-1]
		if r.items < wire.MaxItems && len(r.data)+size <= responseBytes && r.results+results <= wire.MaxRequests {
			return r
		}
		o.usual = len(r.data)
	}
	o.waiting = append(o.waiting, response{data: make([]byte, 0, max(size, o.usual))})
	return &o.waiting[len(o.waiting)-1]
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
	o.info, o.waiting = nil, nil
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take hands over all that waits as messages in parts, or says why the stream
// must end. Their bytes count until they are released.
func (o *outbox) take() (messages [][][]byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.waiting {
		messages = append(messages, [][]byte{o.waiting[i].data})
		o.usual = len(o.waiting[i].data)
	}
	if o.info != nil {
		first := (&wire.SessionResponse{Info: o.info}).Append(nil)
		if len(messages) == 0 {
			messages = append(messages, nil)
		}
		o.bytes += len(first)
		messages[0] = append([][]byte{first}, messages[0]...)
	}
	o.info, o.waiting = nil, o.waiting[:0]
	clear(o.waiting[:cap(o.waiting)])
	return messages, o.err
}

// release says that a message was sent.
func (o *outbox) release(message [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, part := range message {
		o.bytes -= len(part)
	}
}

// The sizes below are at least those on the wire.

func blockSize(b *wire.Block) int {
	size := 96
	for i := range b.Results {
		size += 80 + len(b.Results[i].Value)
	}
	return size
}

func singleSize(x *wire.Single) int { return 192 + len(x.Client) + len(x.Result.Value) }

func refusalSize(r *wire.Refusal) int { return 80 + len(r.Message) }

package pbftclient

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// frame is a message in the making. Its slices are used again for the next.
type frame struct {
	terms    *terms
	out      wire.SessionRequest
	requests []crypto.Request // of all groups
	ends     []int            // of each group, in requests
	size     int              // about that of the message, in bytes

	to           int  // the replica that it goes to
	alone, retry bool // of the groups to come

	// The last group may take more.
	last  *Session // whose it is; nil: it is complete
	bytes int      // canonical ones
}

func (f *frame) reset(t *terms) {
	clear(f.requests) // operations are not kept alive
	*f = frame{
		terms:    t,
		out:      wire.SessionRequest{Opens: f.out.Opens[:0], Groups: f.out.Groups[:0]},
		requests: f.requests[:0], ends: f.ends[:0],
	}
}

// begin sets the flags of the groups to come.
func (f *frame) begin(alone, retry bool) {
	f.alone, f.retry, f.last = alone, retry, nil
}

// add puts a request into the last group, or a new one. It reports false if
// the message is full.
func (f *frame) add(s *Session, r *slot) bool {
	need := requestBytes + len(r.call.Op)
	if len(f.requests) > 0 && f.size+need > maxFrame || len(f.requests) >= wire.MaxRequests {
		return false
	}
	if n := len(f.requests); f.last != s || f.ends[len(f.ends)-1]-f.start() >= f.terms.group ||
		f.bytes+need > f.terms.groupBytes || f.requests[n-1].Number >= r.number {
		if len(f.out.Groups) >= wire.MaxItems {
			return false
		}
		f.out.Groups = append(f.out.Groups, wire.Group{Handle: s.handle, Alone: f.alone, Retry: f.retry})
		f.ends = append(f.ends, n)
		f.last, f.bytes = s, groupBytes+len(s.id)
		f.size += 16
	}
	f.requests = append(f.requests, crypto.Request{
		Number: r.number, Kind: crypto.KindOperation, Op: r.call.Op, ClientTime: crypto.NoClientTime,
	})
	f.ends[len(f.ends)-1]++
	f.bytes += need
	f.size += need
	return true
}

// start is where the last group starts in requests.
func (f *frame) start() int {
	if len(f.ends) < 2 {
		return 0
	}
	return f.ends[len(f.ends)-2]
}

// encode gives the message, empty if there is nothing to say.
func (f *frame) encode() []byte {
	if f.size == 0 && len(f.out.Outcomes) == 0 {
		return nil
	}
	start := 0
	for i, end := range f.ends {
		f.out.Groups[i].Requests = f.requests[start:end]
		start = end
	}
	return f.out.Append(make([]byte, 0, f.size+24*len(f.out.Outcomes)))
}

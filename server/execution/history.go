package execution

import (
	"math"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// history keeps the newest executed batches, up to a limit in bytes of their
// bodies, and at least one.
type history struct {
	limit, bytes int
	unsaved      uint64      // the entries from this number on stay: nothing else has them
	entries      []*LogEntry // entries[head:] by rising N without gaps
	head         int
	byDigest     map[crypto.Digest]*LogEntry
}

// LogEntry is one executed batch.
type LogEntry struct {
	Header   message.Header
	Digest   crypto.Digest
	View     uint64
	TimeUS   int64
	Requests []LoggedRequest // filled in by Engine.Log

	batch    *message.Batch // nil: the null batch
	outcomes []outcome      // by request
}

type outcome struct {
	status   crypto.Status
	executed bool
}

// LoggedRequest is one request of an executed batch; its slices alias it.
type LoggedRequest struct {
	Client   string
	Session  uint64
	Number   uint64
	Kind     crypto.Kind
	Op       []byte
	Origin   uint16
	Status   crypto.Status
	Executed bool // here, not before
}

// DumpEntry is one executed request.
type DumpEntry struct {
	Client string
	Number uint64
	Op     []byte
	N      uint64
}

// entryOverhead is what an entry costs beside its body.
const entryOverhead = 256

func (e *LogEntry) size() int {
	s := entryOverhead + 2*len(e.outcomes)
	if e.batch != nil {
		s += len(e.batch.Body) + 128*len(e.batch.Groups)
	}
	return s
}

func (h *history) add(e *LogEntry) {
	if h.byDigest == nil {
		h.byDigest = make(map[crypto.Digest]*LogEntry)
	}
	h.entries = append(h.entries, e)
	h.byDigest[e.Digest] = e
	h.bytes += e.size()
	h.trim()
}

// trim lets the oldest entries go; what saves let go a few at a time, when others
// come: the memory of thousands at once would go back to the system, and cost 3
// us a page to get again.
func (h *history) trim() {
	most := math.MaxInt
	if h.unsaved != math.MaxUint64 {
		most = trimMost
	}
	for k := 0; k < most && h.bytes > h.limit && h.head < len(h.entries)-1 && h.entries[h.head].Header.N < h.unsaved; k++ {
		old := h.entries[h.head]
		h.entries[h.head] = nil
		h.head++
		h.bytes -= old.size()
		delete(h.byDigest, old.Digest)
	}
	if h.head > 1024 && h.head > len(h.entries)/2 {
		h.entries = append(h.entries[:0:0], h.entries[h.head:]...)
		h.head = 0
	}
}

const trimMost = 2

// from is what is held of the numbers n and up.
func (h *history) from(n uint64) []*LogEntry {
	held := h.entries[h.head:]
	if len(held) == 0 {
		return nil
	}
	first := held[0].Header.N
	if n <= first {
		return held
	}
	return held[min(n-first, uint64(len(held))):]
}

// each calls f for the batches from number from on that memory or disk has, in
// order, until it returns false. Without bodies, what comes from disk has
// neither body nor outcomes.
func (e *Engine) each(from uint64, bodies bool, f func(x *LogEntry) bool) {
	held := e.history.from(from)
	if s := e.saver; s != nil && s.damage == nil {
		to := s.disk.state.N + 1
		if len(held) > 0 {
			to = min(to, held[0].Header.N)
		}
		more := true
		if from < to {
			a := archive{&e.cfg, s.db}
			s.damage = a.each(from, to, bodies, func(x *LogEntry) bool {
				more = f(x)
				return more
			})
		}
		if !more {
			return
		}
	}
	for _, x := range held {
		if !f(x) {
			return
		}
	}
}

// HistoryFirst is the smallest number that the history holds, 0 if none.
func (e *Engine) HistoryFirst() (first uint64) {
	if held := e.history.from(0); len(held) > 0 {
		first = held[0].Header.N
	}
	if s := e.saver; s != nil && len(s.disk.history) > 0 {
		if n := s.disk.history[0].first; first == 0 || n < first {
			return n
		}
	}
	return first
}

// Committed lists what is held of the numbers from..to, at most max.
func (e *Engine) Committed(from, to uint64, most int) (out []message.NDigest) {
	e.each(from, false, func(x *LogEntry) bool {
		if x.Header.N > to || len(out) == most {
			return false
		}
		out = append(out, message.NDigest{N: x.Header.N, Digest: x.Digest})
		return true
	})
	return out
}

// Body is the batch with digest d, or nil.
func (e *Engine) Body(d crypto.Digest) *message.Batch {
	if x := e.history.byDigest[d]; x != nil {
		return x.batch
	}
	return nil
}

// each calls f for every request of the batch.
func (x *LogEntry) each(f func(g *crypto.GroupView, r *crypto.Request, o outcome)) {
	if x.batch == nil {
		return
	}
	var r crypto.Request
	k := 0
	for i := range x.batch.Groups {
		g := &x.batch.Groups[i]
		for cur := g.Cursor(); cur.Next(&r); k++ {
			f(g, &r, x.outcomes[k])
		}
	}
}

// Log shows at most limit batches from number from on, decoded.
func (e *Engine) Log(from uint64, limit int) (out []LogEntry) {
	e.each(from, true, func(x *LogEntry) bool {
		if len(out) == limit {
			return false
		}
		entry := *x
		x.each(func(g *crypto.GroupView, r *crypto.Request, o outcome) {
			entry.Requests = append(entry.Requests, LoggedRequest{
				Client: string(g.Client), Session: g.Session, Number: r.Number, Kind: r.Kind, Op: r.Op,
				Origin: g.Origin, Status: o.status, Executed: o.executed,
			})
		})
		out = append(out, entry)
		return true
	})
	return out
}

// Dump lists executed requests, each once, from number from on, until
// limitBytes of operations are listed; next is where to go on, 0 at the end.
// At least one batch is listed.
func (e *Engine) Dump(from uint64, limitBytes int) (out []DumpEntry, next uint64) {
	d := dump{limit: limitBytes}
	e.each(from, true, d.add)
	return d.out, d.next
}

// dump gathers executed requests.
type dump struct {
	limit, bytes, batches int
	out                   []DumpEntry
	next                  uint64
}

// add lists the requests of a batch, if there is room.
func (d *dump) add(x *LogEntry) bool {
	if d.batches > 0 && d.bytes >= d.limit {
		d.next = x.Header.N
		return false
	}
	d.batches++
	x.each(func(g *crypto.GroupView, r *crypto.Request, o outcome) {
		if o.executed {
			d.out = append(d.out, DumpEntry{Client: string(g.Client), Number: r.Number, Op: r.Op, N: x.Header.N})
			d.bytes += len(r.Op) + dumpOverhead
		}
	})
	return true
}

// dumpOverhead is what an entry of a dump costs beside its operation.
const dumpOverhead = 64

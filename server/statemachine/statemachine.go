// Package statemachine is what an application implements to be replicated.
//
// An application is called from one goroutine, with whole batches, in the
// agreed order. Given the same batches it must make the same changes and give
// the same results on every replica: it takes time and randomness from the
// batch only, keeps everything that matters in the State it is handed, and
// depends on nothing else.
package statemachine

// StateMachine executes batches.
type StateMachine interface {
	// Apply executes the operations of b in order, reads and writes st, and
	// adds exactly one result per operation to r, in order. It must not keep
	// b, an operation or a slice of st beyond the call. An operation that
	// makes no sense still gets a result, one that says so.
	Apply(b *Batch, st State, r *Results)
}

// Restorer is implemented by applications that keep caches beside the State.
type Restorer interface {
	// Restored is called when st was replaced as a whole: at the start and
	// after a state transfer. n is the last batch that st contains.
	Restored(n uint64, st State) error
}

// Batch is one agreed batch, without the requests that were executed before.
// It is valid until Apply returns.
type Batch struct {
	N      uint64   // sequence number, rising, not without gaps
	TimeUS int64    // agreed time, microseconds since 1970, strictly rising
	Seed   [32]byte // agreed randomness; the same on every replica, known to the primary beforehand
	Ops    []Op
}

// Op is one operation of a client.
type Op struct {
	Client string
	Number uint64
	Data   []byte
}

// State is the application's replicated state: byte strings under byte
// strings. The host owns it, digests it and snapshots it between batches.
type State interface {
	// Prefetch announces the keys that a batch will touch. It may be ignored.
	Prefetch(keys [][]byte)
	// Get returns the value of key, valid until the next Put or Delete.
	Get(key []byte) (value []byte, ok bool)
	// Put stores a copy of value under a copy of key.
	Put(key, value []byte)
	// Delete removes key if it is there.
	Delete(key []byte)
}

// Results collects one result per operation in one buffer.
type Results struct {
	buf  []byte
	ends []int
}

// Add appends one result, which is copied.
func (r *Results) Add(result []byte) {
	r.buf = append(r.buf, result...)
	r.ends = append(r.ends, len(r.buf))
}

// AddString appends one result.
func (r *Results) AddString(result string) {
	r.buf = append(r.buf, result...)
	r.ends = append(r.ends, len(r.buf))
}

// Append lets f append one result to a buffer and adds it.
func (r *Results) Append(f func(b []byte) []byte) {
	r.buf = f(r.buf)
	r.ends = append(r.ends, len(r.buf))
}

// Len is the number of results.
func (r *Results) Len() int { return len(r.ends) }

// Get returns result i, valid until Reset.
func (r *Results) Get(i int) []byte {
	start := 0
	if i > 0 {
		start = r.ends[i-1]
	}
	return r.buf[start:r.ends[i]:r.ends[i]]
}

// Size is the number of bytes of all results. Results are kept for the clients
// until they are answered: an application that gives large ones bounds this.
func (r *Results) Size() int { return len(r.buf) }

// keepResults is the largest buffer that Reset keeps.
const keepResults = 1 << 20

// Reset empties r and keeps its memory, unless a batch had unusual need of it.
func (r *Results) Reset() {
	r.buf, r.ends = r.buf[:0], r.ends[:0]
	if cap(r.buf) > keepResults {
		r.buf = nil
	}
}

package execution

// recent keeps the newest results whole, also those that the client table
// keeps as tombstones, for questions that come late. It is local: what it
// holds changes no digest.
type recent struct {
	limit, bytes int
	results      map[resultKey]*recentResult
	order        []*recentResult
	head         int
}

type resultKey struct {
	client string
	number uint64
}

type recentResult struct {
	key     resultKey
	session uint64
	n       uint64
	value   []byte
}

// minRecent is the size below which a result is not kept here: the client
// table has it, most likely.
const minRecent = 64

// resultOverhead is what an entry costs beside its value.
const resultOverhead = 200

func (r *recent) add(client string, number, session, n uint64, value []byte) {
	if len(value) < minRecent || len(value)+resultOverhead > r.limit {
		return
	}
	e := &recentResult{key: resultKey{client, number}, session: session, n: n, value: append([]byte(nil), value...)}
	r.results[e.key] = e
	r.order = append(r.order, e)
	r.bytes += len(value) + resultOverhead
	for r.bytes > r.limit {
		old := r.order[r.head]
		r.order[r.head] = nil
		r.head++
		r.bytes -= len(old.value) + resultOverhead
		if r.results[old.key] == old {
			delete(r.results, old.key)
		}
	}
	if r.head > 1024 && r.head > len(r.order)/2 {
		r.order = append(r.order[:0:0], r.order[r.head:]...)
		r.head = 0
	}
}

func (r *recent) find(client string, number, session uint64) ([]byte, bool) {
	e := r.results[resultKey{client, number}]
	if e == nil || e.session != session {
		return nil, false
	}
	return e.value, true
}

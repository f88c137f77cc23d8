package execution

// recent keeps the newest of the results that the client table holds as
// tombstones whole, for questions that come late. It is local: what it holds
// changes no digest.
type recent struct {
	limit, bytes int
	results      map[resultKey]*recentResult
	order        []*recentResult // order[head:], oldest first
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

// resultOverhead is what an entry costs beside its value.
const resultOverhead = 200

// add keeps a copy of value; the oldest results make room.
func (r *recent) add(client string, number, session, n uint64, value []byte) {
	if len(value)+resultOverhead > r.limit {
		return
	}
	if r.results == nil {
		r.results = make(map[resultKey]*recentResult)
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

// find returns the result of a number as executed at n. It is shared: nobody
// writes to it.
func (r *recent) find(client string, number, session, n uint64) ([]byte, bool) {
	e := r.results[resultKey{client, number}]
	if e == nil || e.session != session || e.n != n {
		return nil, false
	}
	return e.value, true
}

package execution

import "github.com/pbft-go/pbft/server/message"

// Summary is what Inspect found.
type Summary struct {
	N                         uint64
	State                     *message.State // nil: there is no state
	Keys                      int
	KeyBytes                  int64 // keys and values
	Clients                   int
	HistoryFirst, HistoryLast uint64 // 0: there is none
	HistoryBatches            int
	HistoryBytes              int64 // of bodies
}

// Inspect verifies the state in db as Open does, and the history batch by batch,
// for a data directory that no replica has open. Without an error all of it is
// as it was saved.
func Inspect(c Config, db StateStore) (s Summary, err error) {
	if err := c.check(); err != nil {
		return s, err
	}
	l, err := load(&c, db)
	if l == nil || err != nil {
		return s, err
	}
	s.N, s.State, s.Clients = l.state.N, &l.state, len(l.clients)
	for i := range l.store.buckets {
		l.store.buckets[i].each(func(part *chunk) {
			for data := part.data; len(data) > 0; {
				size, isLarge := entrySize(data)
				s.Keys++
				s.KeyBytes += int64(size - 8)
				if isLarge {
					s.KeyBytes -= int64(len(noDigest))
				}
				data = data[size:]
			}
			if part.more != nil {
				for _, r := range part.more.large {
					s.KeyBytes += int64(r.size)
				}
			}
		})
	}
	a := archive{&c, db}
	err = a.each(0, l.state.N+1, true, func(x *LogEntry) bool {
		if s.HistoryFirst == 0 {
			s.HistoryFirst = x.Header.N
		}
		s.HistoryLast = x.Header.N
		s.HistoryBatches++
		s.HistoryBytes += int64(x.Header.Bytes)
		return true
	})
	if err != nil {
		return s, err
	}
	return s, l.checkHistory(s.HistoryFirst, s.HistoryLast)
}

// checkHistory holds what is there of the history against what was saved.
func (l *loaded) checkHistory(first, last uint64) error {
	var want span
	if k := len(l.history); k > 0 {
		want = span{first: l.history[0].first, last: l.history[k-1].last}
	}
	if first != want.first || last != want.last {
		return damaged("history: batches %d to %d are there, %d to %d were saved", first, last, want.first, want.last)
	}
	return nil
}

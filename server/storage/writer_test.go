package storage

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/storage/wal"
)

// fakeLog notes what is done to it. Append waits for a turn if turns is set.
type fakeLog struct {
	mu       sync.Mutex
	appends  [][]consensus.Record
	released []uint64
	closed   bool
	fail     error
	turns    chan struct{}
	began    chan struct{}
}

func (l *fakeLog) Append(r []consensus.Record) error {
	if l.turns != nil {
		l.began <- struct{}{}
		<-l.turns
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.appends = append(l.appends, slices.Clone(r))
	return nil
}

func (l *fakeLog) Release(n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = append(l.released, n)
	return nil
}

func (l *fakeLog) Ahead() *wal.Ahead        { return nil }
func (l *fakeLog) Adopt(a *wal.Ahead) error { return nil }

func (l *fakeLog) Close() error { l.closed = true; return nil }

type told struct {
	durable chan consensus.PersistID
	failed  chan error
}

func newTold() *told { return &told{make(chan consensus.PersistID, 100), make(chan error, 1)} }

func (o *told) options() WriterOptions {
	return WriterOptions{
		Durable: func(k consensus.PersistID) { o.durable <- k },
		Failed:  func(err error) { o.failed <- err },
		Synced:  func(time.Duration) {},
	}
}

func accept(n uint64) []consensus.Record {
	return []consensus.Record{{Kind: consensus.RecAccept, N: n}}
}

func committed(n uint64) []consensus.Record {
	return []consensus.Record{{Kind: consensus.RecCommitted, N: n}}
}

func TestWhatGathersDuringASyncSharesTheNext(t *testing.T) {
	l := &fakeLog{turns: make(chan struct{}), began: make(chan struct{})}
	o := newTold()
	w := NewWriter(l, 0, consensus.Position{}, o.options())
	w.Persist(1, accept(1))
	<-l.began
	for k := range 5 {
		w.Persist(consensus.PersistID(k+2), accept(uint64(k+2)))
	}
	l.turns <- struct{}{}
	if k := <-o.durable; k != 1 {
		t.Errorf("durable up to %d before the second sync", k)
	}
	<-l.began
	l.turns <- struct{}{}
	if k := <-o.durable; k != 6 {
		t.Errorf("durable up to %d after it, want 6", k)
	}
	w.Close()
	if len(l.appends) != 2 || len(l.appends[1]) != 5 || !l.closed {
		t.Errorf("%d appends, closed=%t", len(l.appends), l.closed)
	}
}

func TestARecordWithoutAPromiseWaitsForOne(t *testing.T) {
	l := &fakeLog{}
	o := newTold()
	w := NewWriter(l, 0, consensus.Position{}, o.options())
	w.Persist(1, committed(1))
	w.Persist(2, accept(2))
	if k := <-o.durable; k != 2 {
		t.Fatalf("durable up to %d first, want 2: a sync for a record that needs none", k)
	}
	w.Persist(3, committed(2))
	done := make(chan struct{})
	w.After(0, func() { close(done) })
	<-done
	if k := <-o.durable; k != 3 {
		t.Errorf("durable up to %d, want 3: After comes behind everything", k)
	}
	w.Persist(4, committed(3))
	w.Close()
	if n := len(l.appends); n != 3 || l.appends[2][0].N != 3 {
		t.Errorf("%d appends: Close writes what waits", n)
	}
}

func TestAStateWaitsUntilItIsStable(t *testing.T) {
	l := &fakeLog{}
	o := newTold()
	w := NewWriter(l, 0, consensus.Position{}, o.options())
	done := make(chan uint64, 2)
	w.After(16, func() { done <- 16 })
	w.After(8, func() { done <- 8 })
	stable := func(k consensus.PersistID, n uint64) {
		w.Persist(k, []consensus.Record{{Kind: consensus.RecStable, N: n, Certificate: &message.Certificate{}}})
	}
	stable(1, 8)
	if n := <-done; n != 8 {
		t.Errorf("the state at %d came first", n)
	}
	stable(2, 16)
	<-done
	w.After(24, func() { t.Error("a state that is not stable was written") })
	w.Close()
}

func TestTheLogIsReleasedBelowProofAndState(t *testing.T) {
	for name, tt := range map[string]struct {
		stable, saved, behind, voted, want uint64
	}{
		"the proof is older":            {16, 24, 0, 16, 16},
		"the state is older":            {32, 24, 0, 32, 24},
		"the state comes from others":   {64, 24, 64, 32, 64},
		"but this replica voted for it": {64, 24, 64, 64, 24},
		"it came, and is saved":         {96, 72, 64, 32, 72},
		"nothing new, nothing released": {8, 8, 0, 8, 8},
	} {
		l := &fakeLog{}
		o := newTold()
		w := NewWriter(l, 8, consensus.Position{LowWatermark: 8, Voted: tt.voted}, o.options())
		w.Persist(1, []consensus.Record{{Kind: consensus.RecStable, N: tt.stable, Certificate: &message.Certificate{}}})
		<-o.durable
		w.Saved(tt.saved)
		if tt.behind > 0 {
			w.Behind(tt.behind)
		}
		w.Close()
		if last := l.released[len(l.released)-1]; last != tt.want || !slices.IsSorted(l.released) {
			t.Errorf("%s: released %v, want up to %d", name, l.released, tt.want)
		}
	}
}

func TestNothingIsDurableAfterAFailedSync(t *testing.T) {
	l := &fakeLog{fail: errors.New("no space")}
	o := newTold()
	w := NewWriter(l, 0, consensus.Position{}, o.options())
	w.Persist(1, accept(1))
	if err := <-o.failed; !errors.Is(err, l.fail) {
		t.Errorf("error %v", err)
	}
	w.Persist(2, accept(2))
	w.After(0, func() { t.Error("something rests on a failed log") })
	w.Close()
	if len(o.durable) > 0 {
		t.Error("a failed append was called durable")
	}
}

func TestAnAppendIsBounded(t *testing.T) {
	big := &message.Batch{Body: make([]byte, maxAppend/2)}
	var records []consensus.Record
	for range 5 {
		records = append(records, consensus.Record{Kind: consensus.RecAccept, Batch: big}, consensus.Record{Kind: consensus.RecPrepared})
	}
	l := &fakeLog{}
	o := newTold()
	w := NewWriter(l, 0, consensus.Position{}, o.options())
	w.Persist(1, records)
	<-o.durable
	w.Close()
	n := 0
	for _, a := range l.appends {
		bytes := 0
		for i := range a {
			if a[i].Batch != nil {
				bytes += len(a[i].Batch.Body)
			}
		}
		if bytes > maxAppend {
			t.Errorf("%d bytes in one append", bytes)
		}
		n += len(a)
	}
	if n != len(records) || len(l.appends) < 3 {
		t.Errorf("%d records in %d appends", n, len(l.appends))
	}
}

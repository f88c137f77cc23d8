package wal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

func TestWhatWasAppendedIsReadInOrder(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	var want []consensus.Record
	for i := range uint64(40) {
		turn := []consensus.Record{accept(i+1, 1, 2000), prepared(i, 1), seen(3)}
		must(t, l.Append(turn))
		want = append(want, turn...)
	}
	must(t, l.Append(everyKind()))
	want = append(want, everyKind()...)
	must(t, l.Close())
	r := mustOpen(t, d)
	if !equal(r.records, want) {
		t.Errorf("got%s, want%s", brief(r.records), brief(want))
	}
	if s := r.log.Stats(); !s.Clean || s.Torn || s.Segments < 2 || s.Last != uint64(s.Segments)+40+1+1 || s.First != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestALogThatWasNotClosedIsNotClean(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	if !l.Stats().Clean {
		t.Error("a new log is not clean")
	}
	must(t, l.Append([]consensus.Record{seen(1)}))
	d = d.Crash(crashfs.Power{})
	if r := mustOpen(t, d); r.log.Stats().Clean || len(r.records) != 1 {
		t.Errorf("%d records, stats %+v", len(r.records), r.log.Stats())
	}
}

func TestClosingTwiceInARowWritesOneMarker(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	must(t, l.Append([]consensus.Record{seen(1)}))
	must(t, l.Close())
	before := d.Copy()
	l = mustOpen(t, d).log
	must(t, l.Close())
	must(t, l.Close())
	if !d.Same(before) {
		t.Error("the second close wrote something")
	}
	if err := l.Append([]consensus.Record{seen(1)}); err == nil {
		t.Error("a closed log was appended to")
	}
}

func TestAnAppendLargerThanASegmentGetsOneOfItsOwnSize(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	big := []consensus.Record{accept(1, 1, 200<<10)}
	must(t, l.Append([]consensus.Record{seen(1)}))
	must(t, l.Append(big))
	must(t, l.Append([]consensus.Record{seen(2)}))
	r := mustOpen(t, d)
	if !equal(r.records, []consensus.Record{seen(1), big[0], seen(2)}) {
		t.Errorf("got%s", brief(r.records))
	}
	must(t, r.log.Release(1))
	must(t, r.log.Append([]consensus.Record{accept(2, 1, 20<<10)}))
	must(t, r.log.Append([]consensus.Record{accept(3, 1, 20<<10)}))
	must(t, r.log.Release(2))
	if s := r.log.Stats(); s.Bytes > 4*smallSegment {
		t.Errorf("the large segment was kept: %+v", s)
	}
}

func TestALogOfAnotherClusterIsRefused(t *testing.T) {
	d := crashfs.New()
	must(t, mustOpen(t, d).log.Close())
	before := d.Copy()
	o := options(d)
	o.Cluster[0]++
	_, err := open(o)
	var c *CorruptError
	if err == nil || errors.As(err, &c) || !strings.Contains(err.Error(), "the log is of cluster") {
		t.Errorf("got %v", err)
	}
	if !d.Same(before) {
		t.Error("it was changed")
	}
}

func TestASegmentSizeThatCannotBeIsRefused(t *testing.T) {
	for _, size := range []int64{1, MinSegmentBytes - file.Block, MinSegmentBytes + 1, -1} {
		o := options(crashfs.New())
		o.SegmentBytes = size
		if _, err := open(o); err == nil || !strings.Contains(err.Error(), "multiple of 4096 and at least 16384") {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestAnErrorOfTheReaderEndsOpening(t *testing.T) {
	d := crashfs.New()
	must(t, mustOpen(t, d).log.Append([]consensus.Record{seen(1), seen(2)}))
	no := errors.New("no")
	_, err := Open(options(d), func(r *consensus.Record) error {
		if r.Replica == 2 {
			return no
		}
		return nil
	})
	var c *CorruptError
	if !errors.Is(err, no) || errors.As(err, &c) || !strings.Contains(err.Error(), "record 2 of 2") || !strings.Contains(err.Error(), "0000000001.log") {
		t.Errorf("got %v", err)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	d := crashfs.New()
	o := options(d)
	o.SegmentBytes = 64 << 20
	r, err := open(o)
	must(t, err)
	turn := []consensus.Record{accept(1, 1, 20000), prepared(1, 1), committed(1, 1), prepared(2, 1), seen(2), checkpoint(8)}
	must(t, r.log.Append(turn))
	if n := testing.AllocsPerRun(100, func() { must(t, r.log.Append(turn)) }); n != 0 {
		t.Errorf("%v allocations per append", n)
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	d := crashfs.New()
	var s script
	must(t, s.live(mustOpen(t, d).log, rand.New(rand.NewPCG(1, 2)), 1, 60))
	l := mustOpen(t, d).log
	d.OnOp = func(op crashfs.Op) error {
		if op.Kind == crashfs.Write && op.Size > 8192 {
			return crashfs.ErrCrash
		}
		return nil
	}
	for l.Append([]consensus.Record{accept(70, 3, 9000)}) == nil {
	}
	d = d.Crash(crashfs.Prefix(true, 5000))
	before := d.Copy()
	d.OnOp = func(op crashfs.Op) error {
		t.Errorf("%s", op)
		return nil
	}
	o := options(d)
	o.ReadOnly = true
	r, err := open(o)
	must(t, err)
	if !r.log.Stats().Torn || len(r.records) == 0 {
		t.Errorf("%d records, stats %+v", len(r.records), r.log.Stats())
	}
	for what, err := range map[string]error{
		"append": r.log.Append([]consensus.Record{seen(1)}), "release": r.log.Release(1 << 40), "adopt": r.log.Adopt(&Ahead{}),
	} {
		if !errors.Is(err, file.ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, r.log.Close())
	if !d.Same(before) {
		t.Error("the disk was changed")
	}
}

func TestReadOnlyMakesNoLog(t *testing.T) {
	d := crashfs.New()
	o := options(d)
	o.ReadOnly = true
	if _, err := open(o); err == nil {
		t.Error("a directory that is not there was opened")
	}
	must(t, d.MkdirAll(testDir))
	r, err := open(o)
	must(t, err)
	names, err := d.List(testDir)
	must(t, err)
	if len(r.records) != 0 || len(names) != 0 {
		t.Errorf("%d records, files %v", len(r.records), names)
	}
}

func TestTheLogStaysSmall(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	record := []consensus.Record{accept(1, 1, 3000)}
	most := 0
	for n := uint64(1); n <= 10000; n++ {
		record[0].N, record[0].Batch = n, nil
		must(t, l.Append(record))
		if n%10 == 0 {
			must(t, l.Append([]consensus.Record{checkpoint(n), stable(n)}))
			must(t, l.Release(n-10))
		}
		names, err := d.List(testDir)
		must(t, err)
		most = max(most, len(names))
	}
	// 8 blocks a segment, one for its begin; 20 numbers of one block each, and what
	// is there to spare.
	if most > 8 {
		t.Errorf("%d files", most)
	}
	if s := l.Stats(); s.Bytes > 8*smallSegment || s.Last < 11000 {
		t.Errorf("stats %+v", s)
	}
}

func TestASpareIsMadeAheadOnce(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	a := l.Ahead()
	a.Make()
	must(t, l.Adopt(a))
	if l.Ahead() != nil {
		t.Error("a second spare is wanted")
	}
	names, err := d.List(testDir)
	must(t, err)
	if !slices.Equal(names, []string{"0000000000.spare", "0000000001.log"}) {
		t.Errorf("files %v", names)
	}
	d.OnOp = func(op crashfs.Op) error {
		if op.Kind == crashfs.Create {
			t.Errorf("%s", op)
		}
		return nil
	}
	for n := range uint64(7) {
		must(t, l.Append([]consensus.Record{prepared(n, 1)}))
	}
	if l.Stats().Segments != 1 {
		t.Error("seven blocks and the begin do not fit into eight")
	}
	must(t, l.Append([]consensus.Record{prepared(9, 1)}))
	if s := l.Stats(); s.Segments != 2 || s.Spares != 0 {
		t.Errorf("stats %+v", s)
	}
}

package wal

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

// recycled gives what a log says in which the segments that these records were
// written to are gone.
func recycled(t *testing.T, records []consensus.Record) []consensus.Record {
	t.Helper()
	d := crashfs.New()
	l := mustOpen(t, d).log
	for i := range records {
		must(t, l.Append(records[i:i+1]))
	}
	begun := l.last()
	for l.last() == begun {
		must(t, l.Append([]consensus.Record{prepared(700, 9)}))
	}
	must(t, l.Release(800))
	r := mustOpen(t, d.Crash(crashfs.Power{}))
	if r.log.segs[0].number <= begun {
		t.Fatalf("the log begins with segment %d still", r.log.segs[0].number)
	}
	return slices.DeleteFunc(r.records, func(rec consensus.Record) bool { return rec.N == 700 })
}

func TestFactsOutliveTheirSegments(t *testing.T) {
	joined, lost, started := consensus.Record{Kind: consensus.RecJoined}, consensus.Record{Kind: consensus.RecLost}, consensus.Record{Kind: consensus.RecStarted}
	later := installed(7, 40)
	later.Set[0].Signature[3]++ // another one of the same view
	for name, c := range map[string]struct{ written, want []consensus.Record }{
		"who it is":                      {[]consensus.Record{started, seen(3), joined, seen(0), lost, seen(3)}, []consensus.Record{joined, lost, started, seen(0), seen(3)}},
		"two proofs":                     {[]consensus.Record{stable(8), stable(16), stable(24)}, []consensus.Record{stable(16), stable(24)}},
		"an older proof changes nothing": {[]consensus.Record{stable(24), stable(16), stable(8)}, []consensus.Record{stable(16), stable(24)}},
		"one proof":                      {[]consensus.Record{stable(24), stable(24)}, []consensus.Record{stable(24)}},
		"own votes above the proof":      {[]consensus.Record{checkpoint(32), checkpoint(8), checkpoint(16), checkpoint(24), stable(16)}, []consensus.Record{stable(16), checkpoint(24), checkpoint(32)}},
		"own votes below the proof":      {[]consensus.Record{stable(16), checkpoint(16), checkpoint(8)}, []consensus.Record{stable(16)}},
		"own votes before any proof":     {[]consensus.Record{checkpoint(16), checkpoint(8)}, []consensus.Record{checkpoint(8), checkpoint(16)}},
		"the newest view":                {[]consensus.Record{installed(3, 8), installed(7, 40), installed(5, 16)}, []consensus.Record{installed(7, 40)}},
		"the later one of two new views": {[]consensus.Record{installed(7, 40), later}, []consensus.Record{later}},
		"a view change that is answered": {[]consensus.Record{changed(3, 8), changed(7, 8), installed(7, 8)}, []consensus.Record{installed(7, 8)}},
		"a view change that waits":       {[]consensus.Record{installed(7, 8), changed(8, 8), changed(9, 8)}, []consensus.Record{installed(7, 8), changed(9, 8)}},
		"a view change without a view":   {[]consensus.Record{changed(8, 8)}, []consensus.Record{changed(8, 8)}},
		"an old view change":             {[]consensus.Record{installed(7, 8), changed(7, 8), changed(6, 8)}, []consensus.Record{installed(7, 8)}},
		"a view change overtaken":        {[]consensus.Record{installed(3, 8), changed(7, 8), installed(5, 8)}, []consensus.Record{installed(5, 8), changed(7, 8)}},
	} {
		if got := recycled(t, c.written); !equal(got, c.want) {
			t.Errorf("%s: got%s, want%s", name, brief(got), brief(c.want))
		}
	}
}

func TestFactsOutliveManySegmentsAndRestarts(t *testing.T) {
	d := crashfs.New()
	s := &script{}
	for restart := range uint64(6) {
		l, err := s.reopens(d)
		must(t, err)
		must(t, s.live(l, rand.New(rand.NewPCG(restart, 1)), 1+restart*20, 20+restart*20))
		d = d.Crash(crashfs.Power{})
	}
	r := mustOpen(t, d)
	must(t, s.check(r))
	if r.log.segs[0].number < 10 {
		t.Errorf("the log begins with segment %d", r.log.segs[0].number)
	}
}

func TestARecordAboutANumberKeepsItsSegment(t *testing.T) {
	body := accept(20, 1, 10)
	body.Kind = consensus.RecBody
	for _, rec := range []consensus.Record{accept(20, 1, 10), prepared(20, 1), committed(20, 1), body, installed(3, 18)} {
		d := crashfs.New()
		l := mustOpen(t, d).log
		must(t, l.Append([]consensus.Record{rec}))
		for l.last() < 4 {
			must(t, l.Append([]consensus.Record{prepared(5, 1)}))
		}
		must(t, l.Release(19))
		if s := l.Stats(); s.Segments != 4 || s.First != 1 {
			t.Errorf("kind %d: 19 is released, and %+v", rec.Kind, s)
		}
		must(t, l.Release(20))
		must(t, l.Release(3)) // a lower number takes nothing back
		if s := l.Stats(); s.Segments != 1 || s.First == 1 {
			t.Errorf("kind %d: 20 is released, and %+v", rec.Kind, s)
		}
		// What is known of the numbers is known after a restart too.
		d = d.Crash(crashfs.Power{})
		l = mustOpen(t, d).log
		must(t, l.Append([]consensus.Record{rec}))
		l = mustOpen(t, d.Crash(crashfs.Power{})).log
		for l.last() < 7 {
			must(t, l.Append([]consensus.Record{prepared(5, 1)}))
		}
		must(t, l.Release(19))
		if s := l.Stats(); s.Segments < 3 {
			t.Errorf("kind %d: after a restart 19 is released, and %+v", rec.Kind, s)
		}
	}
}

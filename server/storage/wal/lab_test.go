package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

var (
	testCluster = crypto.ClusterID{1, 2, 3}
	testLimits  = message.Limits{MaxBatch: 1000, MaxBatchBytes: 1 << 20}
)

const testDir = "data/log"

// smallSegment is so small that a script of some dozens of appends rolls often.
const smallSegment = 32 << 10

func options(d *crashfs.Disk) Options {
	return Options{FS: d, Dir: testDir, Cluster: testCluster, Limits: testLimits, SegmentBytes: smallSegment, ID: [16]byte{7, 7}}
}

// reading is what Open found.
type reading struct {
	log     *Log
	records []consensus.Record
}

func open(o Options) (*reading, error) {
	r := &reading{}
	var err error
	r.log, err = Open(o, func(rec *consensus.Record) error {
		r.records = append(r.records, *rec)
		return nil
	})
	return r, err
}

func mustOpen(t testing.TB, d *crashfs.Disk) *reading {
	t.Helper()
	r, err := open(options(d))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func corrupt(t testing.TB, err error) *CorruptError {
	t.Helper()
	var c *CorruptError
	if !errors.As(err, &c) {
		t.Fatalf("got %v, want a CorruptError", err)
	}
	return c
}

func digest(i uint64) crypto.Digest {
	return testCluster.Hash(crypto.TagValue, crypto.AppendU64(nil, i))
}

func signature(i uint64) (s [crypto.SignatureSize]byte) {
	a, b := digest(i), digest(i+1<<32)
	copy(s[:], a[:])
	copy(s[32:], b[:])
	return s
}

func batch(n uint64, size int) *message.Batch {
	group := crypto.Group{
		Client: "c", Session: 5,
		Requests: []crypto.Request{{Number: n, Kind: crypto.KindOperation, Op: bytes.Repeat([]byte{byte(n)}, size), ClientTime: crypto.NoClientTime}},
	}
	view, err := crypto.ParseGroup(group.Append(nil))
	if err != nil {
		panic(err)
	}
	return message.NewBatch(testCluster, message.Header{Epoch: 1, N: n, WallUS: int64(n) * 1000}, []crypto.GroupView{view})
}

func accept(n, view uint64, size int) consensus.Record {
	b := batch(n, size)
	return consensus.Record{Kind: consensus.RecAccept, N: n, View: view, Digest: b.Digest, Batch: b}
}

func prepared(n, view uint64) consensus.Record {
	return consensus.Record{Kind: consensus.RecPrepared, N: n, View: view, Digest: digest(n)}
}

func committed(n, view uint64) consensus.Record {
	return consensus.Record{Kind: consensus.RecCommitted, N: n, View: view, Digest: digest(n)}
}

func vote(n uint64, from message.ReplicaID) *message.Checkpoint {
	return &message.Checkpoint{Epoch: 1, Replica: from, Incarnation: 2, N: n, Digest: digest(n), Boundary: 9, Signature: signature(n + uint64(from))}
}

func checkpoint(n uint64) consensus.Record {
	return consensus.Record{Kind: consensus.RecCheckpoint, N: n, Digest: digest(n), Msg: vote(n, 0)}
}

func certificate(n uint64) *message.Certificate {
	return &message.Certificate{Votes: []message.Checkpoint{*vote(n, 0), *vote(n, 1), *vote(n, 3)}}
}

func stable(n uint64) consensus.Record {
	return consensus.Record{Kind: consensus.RecStable, N: n, Certificate: certificate(n)}
}

func viewChange(view, h uint64, from message.ReplicaID) *message.ViewChange {
	return &message.ViewChange{
		Epoch: 1, Replica: from, Incarnation: 2, NewView: view, H: h, Certificate: *certificate(h),
		P:         []message.PQ{{N: h + 1, Digest: digest(h), View: 3}, {N: h + 2, Digest: digest(h + 1), View: 3}},
		Q:         []message.PQ{{N: h + 1, Digest: digest(h), View: 4}},
		Signature: signature(view),
	}
}

func changed(view, h uint64) consensus.Record {
	return consensus.Record{Kind: consensus.RecViewChange, View: view, Msg: viewChange(view, h, 0)}
}

func installed(view, h uint64) consensus.Record {
	m := &message.NewView{Epoch: 1, Replica: 1, Incarnation: 2, View: view, DecisionDigest: digest(view), Signature: signature(view)}
	r := consensus.Record{Kind: consensus.RecNewView, View: view, Msg: m}
	for _, from := range []message.ReplicaID{0, 2, 3} {
		v := viewChange(view, h, from)
		m.ViewChanges = append(m.ViewChanges, message.ViewChangeRef{Replica: from, Digest: v.Digest(testCluster)})
		r.Set = append(r.Set, v)
	}
	return r
}

func seen(from message.ReplicaID) consensus.Record {
	return consensus.Record{Kind: consensus.RecSeen, Replica: from}
}

func equal(a, b []consensus.Record) bool {
	return slices.EqualFunc(a, b, func(x, y consensus.Record) bool { return reflect.DeepEqual(x, y) })
}

// model is what a log must hold.
type model struct {
	appends [][]consensus.Record
	started []int // appends before each segment's begin, by number-1
}

// standing are the records that must begin a log whose first segment began after
// count appends. It says in its own way what facts says.
func (m *model) standing(count int) []consensus.Record {
	var all []consensus.Record
	for _, a := range m.appends[:count] {
		all = append(all, a...)
	}
	last := func(ok func(r *consensus.Record) bool) (found []consensus.Record) {
		for i := range all {
			if ok(&all[i]) {
				found = all[i : i+1]
			}
		}
		return found
	}
	kind := func(k consensus.RecordKind) []consensus.Record {
		return last(func(r *consensus.Record) bool { return r.Kind == k })
	}
	var out []consensus.Record
	for _, k := range []consensus.RecordKind{consensus.RecJoined, consensus.RecLost, consensus.RecStarted} {
		out = append(out, kind(k)...)
	}
	for i := range message.ReplicaID(message.MaxReplicas) {
		out = append(out, last(func(r *consensus.Record) bool { return r.Kind == consensus.RecSeen && r.Replica == i })...)
	}
	newest := uint64(0)
	if s := kind(consensus.RecStable); s != nil {
		newest = s[0].N
		out = append(out, last(func(r *consensus.Record) bool { return r.Kind == consensus.RecStable && r.N < newest })...)
		out = append(out, s...)
	}
	for i := range all {
		if r := &all[i]; r.Kind == consensus.RecCheckpoint && r.N > newest {
			out = append(out, *r)
		}
	}
	view := kind(consensus.RecNewView)
	out = append(out, view...)
	if asked := kind(consensus.RecViewChange); asked != nil && (view == nil || asked[0].View > view[0].View) {
		out = append(out, asked...)
	}
	return out
}

// script is a life of a replica: it drives a log until an error.
type script struct {
	m        model
	acked    int // appends that returned
	inFlight bool
}

// live makes a replica live for the numbers first to last, and releases what
// lies far behind.
func (s *script) live(l *Log, r *rand.Rand, first, last uint64) error {
	for n := first; n <= last; n++ {
		turns := [][]consensus.Record{
			{accept(n, n/20, 40+r.IntN(6000))},
			{prepared(n, n/20), committed(n-1, n/20)},
		}
		switch {
		case n == 1:
			turns = append(turns, []consensus.Record{{Kind: consensus.RecJoined}, {Kind: consensus.RecStarted}}, []consensus.Record{seen(2), seen(1)})
		case n%8 == 0:
			turns = append(turns, []consensus.Record{checkpoint(n)})
		case n%8 == 3 && n > 8:
			turns = append(turns, []consensus.Record{stable(n - 3)})
		case n%20 == 18:
			turns = append(turns, []consensus.Record{changed(n/20+1, n/8*8)})
		case n%20 == 0:
			turns = append(turns, []consensus.Record{installed(n/20, n/8*8)})
		}
		for _, turn := range turns {
			if err := s.append(l, turn); err != nil {
				return err
			}
		}
		if n%8 == 4 && n > 8 {
			if err := s.track(l, func() error { return l.Release(n - 9) }); err != nil {
				return err
			}
		}
		if n%16 == 5 {
			if a := l.Ahead(); a != nil {
				a.Make()
				if err := l.Adopt(a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *script) append(l *Log, turn []consensus.Record) error {
	s.m.appends = append(s.m.appends, turn)
	s.inFlight = true
	err := s.track(l, func() error { return l.Append(turn) })
	if err == nil {
		s.acked, s.inFlight = len(s.m.appends), false
	}
	return err
}

// track notes which segments began while f ran: all of them before the append
// in flight.
func (s *script) track(l *Log, f func() error) error {
	err := f()
	for uint64(len(s.m.started)) < l.last() {
		s.m.started = append(s.m.started, s.acked)
	}
	return err
}

// check holds a reading against the script: facts of the first segment, then
// everything from there on that was acknowledged, and at most the append in
// flight behind it, whole. The script goes on from there.
func (s *script) check(r *reading) error {
	s.m.started = s.m.started[:min(len(s.m.started), int(r.log.last()))]
	for len(s.m.started) < int(r.log.last()) {
		s.m.started = append(s.m.started, s.acked) // opening an empty directory begins one
	}
	first := r.log.segs[0].number
	count := s.m.started[first-1]
	want := s.m.standing(count)
	for _, a := range s.m.appends[count:s.acked] {
		want = append(want, a...)
	}
	if s.inFlight {
		more := append(slices.Clone(want), s.m.appends[s.acked]...)
		if equal(r.records, more) {
			want = more
			s.acked++
		}
	}
	s.m.appends, s.inFlight = s.m.appends[:s.acked], false
	if !equal(r.records, want) {
		return fmt.Errorf("log from segment %d on: %d records:%s; want %d:%s", first, len(r.records), brief(r.records), len(want), brief(want))
	}
	return nil
}

func brief(records []consensus.Record) string {
	var b bytes.Buffer
	for i := range records {
		r := &records[i]
		fmt.Fprintf(&b, " %d/n%d/v%d/r%d", r.Kind, r.N, r.View, r.Replica)
	}
	return b.String()
}

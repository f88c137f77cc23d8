package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

// crashAt makes power fail at the operation with this index, and notes it.
func crashAt(d *crashfs.Disk, index int) *crashfs.Op {
	at := &crashfs.Op{}
	count := 0
	d.OnOp = func(op crashfs.Op) error {
		if count++; count-1 == index {
			*at = op
			return crashfs.ErrCrash
		}
		return nil
	}
	return at
}

// stride is 1, or with -short the given one.
func stride(short int) int {
	if testing.Short() {
		return short
	}
	return 1
}

// scriptEnd is the number that the script of these tests reaches. It rolls some
// ten times, and writes segments again from the fourth one on.
const scriptEnd = 36

// life runs the script on a new disk up to the end, or until power fails.
func life(d *crashfs.Disk) (*script, error) {
	s := &script{}
	r, err := open(options(d))
	if err != nil {
		return s, err
	}
	if err := s.check(r); err != nil {
		panic(err)
	}
	if err := s.live(r.log, rand.New(rand.NewPCG(3, 4)), 1, scriptEnd); err != nil {
		return s, err
	}
	return s, r.log.Close()
}

func (s *script) clone() *script {
	c := *s
	c.m.appends, c.m.started = slices.Clone(s.m.appends), slices.Clone(s.m.started)
	return &c
}

// reopens opens what a crash left and holds it against the script, which may
// then go on.
func (s *script) reopens(d *crashfs.Disk) (*Log, error) {
	r, err := open(options(d))
	if err != nil {
		return nil, err
	}
	return r.log, s.check(r)
}

// goesOn appends some more, over the end of a segment, and releases.
func (s *script) goesOn(l *Log, seed uint64) error {
	return s.live(l, rand.New(rand.NewPCG(seed, 1)), 100, 105)
}

// cuts are ways in which an operation that is under way may come out.
func cuts(op crashfs.Op, seed uint64) map[string]crashfs.Power {
	all := map[string]crashfs.Power{"nothing": {}, "everything": crashfs.Everything()}
	for i := range uint64(6) {
		all[fmt.Sprintf("part %d", i)] = crashfs.Random(rand.New(rand.NewPCG(seed, i)))
	}
	if op.Kind != crashfs.Write {
		return all
	}
	for _, n := range []int{1, checksumAt + 2, counterAt + 8, headerSize - 1, headerSize, headerSize + 1, 511, 512, 4095, 4096, 4097, int(op.Size) - 1} {
		all[fmt.Sprintf("%d bytes", n)] = crashfs.Prefix(true, n)
	}
	return all
}

func TestACrashAtAnyOperationLosesNothingThatWasDurable(t *testing.T) {
	ops := 0
	for ; ; ops += stride(11) {
		d := crashfs.New()
		op := crashAt(d, ops)
		s, err := life(d)
		if err == nil {
			break
		}
		if !errors.Is(err, crashfs.ErrCrash) {
			t.Fatal(err)
		}
		for name, power := range cuts(*op, uint64(ops)) {
			after, then := d.Copy().Crash(power), s.clone()
			l, err := then.reopens(after)
			if err == nil {
				err = then.goesOn(l, uint64(ops))
			}
			if err == nil {
				_, err = then.reopens(after.Crash(crashfs.Power{}))
			}
			if err != nil {
				t.Fatalf("crash at operation %d (%s), of which there is %s: %v", ops, op, name, err)
			}
		}
	}
	if ops < 150 {
		t.Errorf("the script has %d operations only", ops)
	}
}

func TestASecondCrashWhileTheLogComesBack(t *testing.T) {
	for first := 0; ; first += 3 * stride(2) {
		d := crashfs.New()
		crashAt(d, first)
		s, err := life(d)
		if err == nil {
			break
		}
		for second := range 14 {
			random := rand.New(rand.NewPCG(uint64(first), uint64(second)))
			after, then := d.Copy().Crash(crashfs.Random(random)), s.clone()
			op := crashAt(after, second)
			l, err := then.reopens(after)
			if err == nil {
				err = then.goesOn(l, uint64(second))
			}
			if err != nil && !errors.Is(err, crashfs.ErrCrash) {
				t.Fatalf("crash at operation %d: %v", first, err)
			}
			if _, err := then.reopens(after.Crash(crashfs.Random(random))); err != nil {
				t.Fatalf("crash at operation %d, then at %d (%s): %v", first, second, op, err)
			}
		}
	}
}

// class is a kind of write. recycled: old frames are below it.
type class struct {
	kind     kind
	blocks   int64
	recycled bool
}

// TestACrashAtEveryByteOfAWrite cuts one write of each kind behind every one of
// its bytes.
func TestACrashAtEveryByteOfAWrite(t *testing.T) {
	done := map[class]bool{}
	for ops := 0; ; ops++ {
		d := crashfs.New()
		op := crashAt(d, ops)
		s, err := life(d)
		if err == nil {
			break
		}
		if op.Kind != crashfs.Write {
			continue
		}
		before, err := d.Copy().Crash(crashfs.Power{}).Content(op.Name)
		must(t, err)
		after, err := d.Copy().Crash(crashfs.Everything()).Content(op.Name)
		must(t, err)
		frame := after[op.Off:][:op.Size]
		c := class{kind: kind(frame[kindAt]), blocks: min(op.Size/file.Block, 2)}
		c.recycled = before[op.Off] != 0 && (c.kind == kindSegment || c.kind == kindRecords)
		if done[c] {
			continue
		}
		done[c] = true
		h, err := parseHeader(frame, op.Size)
		must(t, err)
		for n := 0; n <= headerSize+h.length; n += stride(13) { // padding alone changes nothing behind it
			then := s.clone()
			if _, err := then.reopens(d.Copy().Crash(crashfs.Prefix(true, n))); err != nil {
				t.Fatalf("%s, kind %d, cut behind byte %d: %v", op, c.kind, n, err)
			}
		}
	}
	for _, c := range []class{
		{kindSegment, 1, false}, {kindSegment, 1, true}, {kindRecords, 1, false}, {kindRecords, 1, true},
		{kindRecords, 2, false}, {kindRecords, 2, true}, {kindRelease, 1, false}, {kindClean, 1, false},
	} {
		if !done[c] {
			t.Errorf("no write of kind %d with %d blocks, recycled %t, was cut", c.kind, c.blocks, c.recycled)
		}
	}
}

// TestOldFramesAreNotTakenForNewOnes has a spare whose old frames begin just
// where the next one would, after a crash at each write into it.
func TestOldFramesAreNotTakenForNewOnes(t *testing.T) {
	d := crashfs.New()
	s := &script{}
	l, err := s.reopens(d)
	must(t, err)
	one := func(n uint64) []consensus.Record { return []consensus.Record{prepared(n, 1)} }
	n := uint64(0)
	for l.last() < 6 {
		n++
		must(t, s.append(l, one(n)))
	}
	must(t, s.track(l, func() error { return l.Release(n - 7) }))
	if l.Stats().Spares < 2 {
		t.Fatalf("stats %+v", l.Stats())
	}
	met := 0
	for l.last() < 8 { // two spares are written again
		n++
		must(t, s.append(l, one(n)))
		after := d.Copy().Crash(crashfs.Power{})
		if seg := &l.segs[len(l.segs)-1]; seg.number > 6 && seg.used < seg.size {
			old := frameAt(t, after, seg)
			if old.id != l.id || old.counter >= l.k {
				t.Fatalf("at %d of segment %d there is %+v: no old frame", seg.used, seg.number, old)
			}
			met++
		}
		if _, err := s.clone().reopens(after); err != nil {
			t.Fatal(err)
		}
	}
	if met < 7 {
		t.Errorf("an old frame was met %d times", met)
	}
}

// frameAt is the header of the whole frame behind the end of a segment.
func frameAt(t *testing.T, d *crashfs.Disk, seg *segment) header {
	t.Helper()
	o := options(d)
	s := scan{l: &Log{}}
	must(t, s.r.open(d, o.path(seg.name())))
	h, _, reason, err := s.frame(seg.used)
	must(t, err)
	if reason != "" {
		t.Fatalf("at %d of segment %d: %s", seg.used, seg.number, reason)
	}
	return h
}

// TestWhatAKilledProcessLeftIsDurableOnceRead: without a loss of power the next
// start may read what was never synced, and acts on it. It must be durable then.
func TestWhatAKilledProcessLeftIsDurableOnceRead(t *testing.T) {
	for ops := 0; ; ops++ {
		d := crashfs.New()
		op := crashAt(d, ops)
		s, err := life(d)
		if err == nil {
			break
		}
		d = d.Kill(crashfs.Everything())
		if _, err := s.reopens(d); err != nil {
			t.Fatalf("killed at operation %d (%s): %v", ops, op, err)
		}
		if _, err := s.reopens(d.Crash(crashfs.Power{})); err != nil {
			t.Fatalf("killed at operation %d (%s), restarted, power lost: %v", ops, op, err)
		}
	}
}

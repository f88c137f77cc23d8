package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

// written is a disk with a log of several segments, and the script that wrote it.
func written(t *testing.T) (*crashfs.Disk, *script, *Log) {
	t.Helper()
	d := crashfs.New()
	s := &script{}
	l, err := s.reopens(d)
	must(t, err)
	must(t, s.live(l, rand.New(rand.NewPCG(8, 9)), 1, 30))
	return d, s, l
}

func TestAFlippedBitInAnEarlierFrameIsDamage(t *testing.T) {
	d, _, l := written(t)
	d = d.Crash(crashfs.Power{})
	for i := range l.segs {
		seg := &l.segs[i]
		end := seg.used
		if i == len(l.segs)-1 {
			end = l.lastFrameAt(t, d)
		}
		name := filepath.Join(testDir, seg.name())
		for off := int64(0); off < end; off += int64(37 * stride(5)) {
			hurt := d.Copy()
			must(t, hurt.Flip(name, off, 1<<(off%8)))
			before := hurt.Copy()
			_, err := open(options(hurt))
			c := corrupt(t, err)
			if c.File != name || off < c.Offset || off >= c.Offset+64<<10 {
				t.Fatalf("bit at %d of %s: %v", off, name, err)
			}
			if !hurt.Same(before) {
				t.Fatalf("bit at %d of %s: opening has changed something", off, name)
			}
		}
	}
}

// lastFrameAt is where the last frame of the last segment begins.
func (l *Log) lastFrameAt(t *testing.T, d *crashfs.Disk) (at int64) {
	t.Helper()
	seg := l.segs[len(l.segs)-1]
	content, err := d.Content(l.o.path(seg.name()))
	must(t, err)
	for off := int64(0); off < seg.used; {
		h, err := parseHeader(content[off:], seg.size-off)
		must(t, err)
		at = off
		off += h.size()
	}
	return at
}

// TestAFlippedBitInTheLastFrame takes it away, as if its write had been cut, and
// never changes what it says.
func TestAFlippedBitInTheLastFrame(t *testing.T) {
	d, s, l := written(t)
	last := accept(31, 1, 5000)
	must(t, s.append(l, []consensus.Record{last}))
	seg := l.segs[len(l.segs)-1]
	d = d.Crash(crashfs.Power{})
	for off := l.lastFrameAt(t, d); off < seg.used; off += int64(11 * stride(5)) {
		hurt := d.Copy()
		must(t, hurt.Flip(l.o.path(seg.name()), off, 1<<(off%8)))
		then := s.clone()
		then.acked-- // and so not promised
		then.inFlight = true
		if _, err := then.reopens(hurt); err != nil {
			t.Fatalf("bit at %d: %v", off, err)
		}
		if then.acked != s.acked-1 {
			t.Fatalf("bit at %d went unseen", off)
		}
	}
}

func TestWhatIsMissingIsDamage(t *testing.T) {
	d, _, l := written(t)
	d = d.Crash(crashfs.Power{})
	first, last := l.segs[0], l.segs[len(l.segs)-1]
	if len(l.segs) < 4 || first.number == 1 {
		t.Fatalf("%d segments from %d on", len(l.segs), first.number)
	}
	path := func(s segment) string { return l.o.path(s.name()) }
	for name, c := range map[string]struct {
		harm func(d *crashfs.Disk) error
		file string
		want string
	}{
		"the oldest segment": {func(d *crashfs.Disk) error { return d.Remove(path(first)) }, path(first), "this segment is missing: the log begins with"},
		"one in the middle":  {func(d *crashfs.Disk) error { return d.Remove(path(l.segs[1])) }, path(l.segs[1]), "this segment is missing, "},
		"all segments": {func(d *crashfs.Disk) error {
			for _, s := range l.segs {
				must(t, d.Remove(path(s)))
			}
			return nil
		}, filepath.Join(testDir, "0000000001.log"), "there is no segment, but"},
		"the end of a segment": {func(d *crashfs.Disk) error { return d.Truncate(path(last), last.size-file.Block) }, path(last), "was made with 32768 bytes, the file has 28672"},
		"half a block":         {func(d *crashfs.Disk) error { return d.Truncate(path(last), last.size-100) }, path(last), "no multiple of 4096"},
		"a whole file": {func(d *crashfs.Disk) error {
			return d.Put(path(l.segs[1]), make([]byte, first.size))
		}, path(l.segs[0]), "but frame"},
	} {
		hurt := d.Copy()
		must(t, c.harm(hurt))
		_, err := open(options(hurt))
		if err == nil {
			t.Fatalf("%s is missing, and nobody notices", name)
		}
		if got := corrupt(t, err); !strings.Contains(got.Reason, c.want) || (got.File != c.file && name != "a whole file") {
			t.Errorf("%s is missing: %v", name, err)
		}
		if !strings.Contains(err.Error(), "replace the disk") {
			t.Errorf("%s is missing, and what to do? %v", name, err)
		}
	}
}

// TestASegmentThatReplacesAnotherIsDamage mixes an older state of one file with
// a newer one of the others.
func TestASegmentThatReplacesAnotherIsDamage(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	must(t, l.Append([]consensus.Record{prepared(1, 1)}))
	old, err := d.Content(l.o.path(l.segs[0].name()))
	must(t, err)
	for l.last() < 2 {
		must(t, l.Append([]consensus.Record{prepared(2, 1)}))
	}
	must(t, d.Put(l.o.path(l.segs[0].name()), old))
	_, err = open(options(d))
	if c := corrupt(t, err); c.Offset != 2*file.Block || !strings.Contains(c.Reason, "frame 3 is not there") || !strings.Contains(c.Reason, "but frame 9 is, at 0 of data/log/0000000002.log") {
		t.Errorf("%v", err)
	}
}

// TestAFrameOfAnotherPastIsDamage puts a frame behind another frame of the same
// counter than the one it was written behind.
func TestAFrameOfAnotherPastIsDamage(t *testing.T) {
	d := crashfs.New()
	must(t, mustOpen(t, d).log.Append([]consensus.Record{seen(1)}))
	name := filepath.Join(testDir, "0000000001.log")
	contents := [2][]byte{}
	for i := range contents {
		l := mustOpen(t, d.Copy()).log
		must(t, l.Append([]consensus.Record{prepared(uint64(i), 1)}))
		must(t, l.Append([]consensus.Record{prepared(7, 1)}))
		var err error
		contents[i], err = l.o.FS.(*crashfs.Disk).Content(name)
		must(t, err)
	}
	copy(contents[0][3*file.Block:], contents[1][3*file.Block:])
	must(t, d.Put(name, contents[0]))
	_, err := open(options(d))
	if c := corrupt(t, err); c.Offset != 3*file.Block || !strings.Contains(c.Reason, "does not belong to the frame 3 before it") {
		t.Errorf("%v", err)
	}
}

func TestALostTailLooksLikeAnOlderLog(t *testing.T) {
	d := crashfs.New()
	d.Undo = 3
	l := mustOpen(t, d).log
	for n := range uint64(5) {
		must(t, l.Append([]consensus.Record{prepared(n, 1)}))
	}
	if lost := d.Lose(testDir, 2); lost != 2 {
		t.Fatalf("lost %d writes", lost)
	}
	r := mustOpen(t, d.Crash(crashfs.Power{}))
	if len(r.records) != 3 || r.log.Stats().Torn {
		t.Errorf("got%s", brief(r.records))
	}
}

// TestBytesOfAClientAreNoFrames has a client send what would be a later frame
// of the log, if only it knew the log's id; and power fails in a write of it.
func TestBytesOfAClientAreNoFrames(t *testing.T) {
	forged := make([]byte, 3*file.Block)
	for off := 0; off < len(forged); off++ {
		forged[off] = byte(off)
	}
	h := header{counter: 1 << 40, segment: 1, kind: kindClean}
	for _, id := range []id{{}, {9}} {
		h.id = id
		for off := 0; off < len(forged); off += file.Block {
			h.seal(forged[off:][:file.Block])
		}
		d := crashfs.New()
		l := mustOpen(t, d).log
		must(t, l.Append([]consensus.Record{seen(1)}))
		rec := accept(1, 1, 5*file.Block)
		// Wherever the encoding puts it, one forged frame begins with a block.
		at := strings.Index(string(appendRecords(make([]byte, headerSize), []consensus.Record{rec})), string(rec.Batch.Body))
		op := rec.Batch.Body[len(rec.Batch.Body)-4*file.Block-200:]
		start := file.Block - (at+len(rec.Batch.Body)-len(op))%file.Block
		copy(op[start:], forged)
		crashAt(d, 0)
		if err := l.Append([]consensus.Record{rec}); !errors.Is(err, crashfs.ErrCrash) {
			t.Fatal(err)
		}
		cut := crashfs.Power{Cut: func(_ crashfs.Op, old, fresh []byte) { copy(old[file.Block:], fresh[file.Block:]) }}
		after := d.Crash(cut)
		content, err := after.Content(l.o.path(l.segs[0].name()))
		must(t, err)
		found := 0
		for off := 0; off < len(content); off += file.Block {
			if f, err := parseHeader(content[off:], file.Block); err == nil && f.counter == h.counter && f.id == id {
				found++
			}
		}
		if found < 3 {
			t.Fatalf("%d forged frames are on disk", found)
		}
		if r, err := open(options(after)); err != nil || len(r.records) != 1 {
			t.Errorf("id %v: got%s, %v", id, brief(r.records), err)
		}
	}
}

// TestAFailedWriteIsReportedAndFinal injects an error into each operation.
func TestAFailedWriteIsReportedAndFinal(t *testing.T) {
	for i, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for at := i; ; at += 2 {
			d := crashfs.New()
			var failed crashfs.Op
			count := 0
			d.OnOp = func(op crashfs.Op) error {
				if count++; count-1 != at {
					return nil
				}
				failed = op
				return cause
			}
			s := &script{}
			r, err := open(options(d))
			if err == nil {
				must(t, s.check(r))
				err = s.live(r.log, rand.New(rand.NewPCG(3, 4)), 1, 24)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), failed.String()) {
				t.Fatalf("%s failed: %v", failed, err)
			}
			if r.log != nil {
				staysFailed(t, d, r.log, cause)
			}
			d.OnOp = nil
			if _, err := s.reopens(d.Crash(crashfs.Random(rand.New(rand.NewPCG(uint64(at), 1))))); err != nil {
				t.Fatalf("%s failed, and the next start: %v", failed, err)
			}
		}
	}
}

func staysFailed(t *testing.T, d *crashfs.Disk, l *Log, cause error) {
	t.Helper()
	d.OnOp = func(op crashfs.Op) error { return fmt.Errorf("%s after a failure", op) }
	for what, err := range map[string]error{
		"append": l.Append([]consensus.Record{seen(1)}), "release": l.Release(1 << 40), "adopt": l.Adopt(&Ahead{}),
	} {
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "restart the replica") {
			t.Fatalf("%s after a failure: %v", what, err)
		}
	}
	must(t, l.Close())
}

// FuzzOpen puts bytes over a log, with the checksum of the frame they are in made
// right or not. Nothing may bring Open down, and what it takes it must be able to
// take again.
func FuzzOpen(f *testing.F) {
	good := func(t testing.TB) (*crashfs.Disk, *Log) {
		d := crashfs.New()
		o := options(d)
		o.SegmentBytes = MinSegmentBytes
		r, err := open(o)
		must(t, err)
		for i := range everyKind()[:2] {
			must(t, r.log.Append(everyKind()[i:i+1]))
		}
		return d, r.log
	}
	f.Add(uint16(0), []byte{}, true)
	f.Add(uint16(lengthAt), []byte{0xff, 0xff}, false)
	f.Add(uint16(headerSize), []byte{0, 2}, true)
	f.Add(uint16(file.Block+headerSize), []byte{0, 0, 0, 9}, true)
	f.Add(uint16(file.Block+kindAt), []byte{byte(kindRelease)}, true)
	f.Add(uint16(3*file.Block), make([]byte, 200), false)
	f.Fuzz(func(t *testing.T, at uint16, b []byte, mend bool) {
		d, l := good(t)
		name := l.o.path(l.segs[0].name())
		content, err := d.Content(name)
		must(t, err)
		copy(content[min(int(at), len(content)):], b)
		if block := content[int(at)/file.Block*file.Block%len(content):]; mend {
			if h, err := parseHeader(block, int64(len(block))); err == nil {
				frame := block[:h.size()]
				binary.BigEndian.PutUint32(frame[checksumAt:], checksum(frame))
			}
		}
		must(t, d.Put(name, content))
		r, err := open(l.o)
		if err != nil {
			return
		}
		must(t, r.log.Append([]consensus.Record{seen(9)}))
		again, err := open(l.o)
		must(t, err)
		if !equal(again.records, append(r.records, seen(9))) {
			t.Errorf("first%s, then%s", brief(r.records), brief(again.records))
		}
	})
}

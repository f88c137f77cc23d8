package wal

import (
	"errors"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
)

// TestADamagedFirstFrameIsNoNewLog: without its first frame a log does not even
// know its id.
func TestADamagedFirstFrameIsNoNewLog(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	name := l.o.path(l.segs[0].name())
	alone := d.Copy()
	must(t, l.Append([]consensus.Record{seen(1)}))
	for off := int64(0); off < file.Block; off += 7 {
		hurt := d.Copy()
		must(t, hurt.Flip(name, off, 16))
		_, err := open(options(hurt))
		if c := corrupt(t, err); c.File != name || c.Offset != 0 || !strings.Contains(c.Reason, "something is at 4096") {
			t.Fatalf("bit at %d: %v", off, err)
		}
		// Alone it cannot be told from one whose write was cut, and nothing is lost.
		hurt = alone.Copy()
		must(t, hurt.Flip(name, off, 16))
		must(t, mustOpen(t, hurt).log.Append([]consensus.Record{seen(2)}))
		if r := mustOpen(t, hurt); len(r.records) != 1 {
			t.Fatalf("bit at %d: got%s", off, brief(r.records))
		}
	}
}

func TestAFirstFrameOfAnotherSegmentIsDamage(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	must(t, l.roll(0))
	content, err := d.Content(l.o.path(l.segs[1].name()))
	must(t, err)
	other := crashfs.New()
	must(t, other.MkdirAll(testDir))
	must(t, other.Put(l.o.path(l.segs[0].name()), content))
	_, err = open(options(other))
	if c := corrupt(t, err); !strings.Contains(c.Reason, "frame 2 of segment 2 is there") {
		t.Errorf("%v", err)
	}
}

func TestOnlyOneSegmentMayBeWithoutAFrame(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	must(t, l.Append([]consensus.Record{seen(1)}))
	must(t, d.Put(l.o.path("0000000002.log"), make([]byte, smallSegment)))
	l = mustOpen(t, d.Copy()).log
	for l.last() < 2 {
		must(t, l.Append([]consensus.Record{prepared(1, 1)}))
	}
	must(t, l.Append([]consensus.Record{prepared(2, 1)}))

	must(t, d.Put(l.o.path("0000000003.log"), make([]byte, smallSegment)))
	_, err := open(options(d))
	if c := corrupt(t, err); !strings.Contains(c.Reason, "but segments up to 3 are") {
		t.Errorf("%v", err)
	}
}

func TestAReleaseThatACrashCutIsFinishedByTheNext(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	for l.last() < 4 {
		must(t, l.Append([]consensus.Record{prepared(9, 1)}))
	}
	crashAt(d, 2) // the frame that says so, one segment, and no further one
	if err := l.Release(9); !errors.Is(err, crashfs.ErrCrash) {
		t.Fatal(err)
	}
	d = d.Crash(crashfs.Everything())
	l = mustOpen(t, d).log
	if s := l.Stats(); s.Segments != 3 || s.Spares != 1 {
		t.Fatalf("stats %+v", s)
	}
	must(t, l.Release(0))
	if s := l.Stats(); s.Segments != 1 {
		t.Errorf("stats %+v", s)
	}
	mustOpen(t, d)
}

func TestPaddingIsZero(t *testing.T) {
	d := crashfs.New()
	l := mustOpen(t, d).log
	must(t, l.Append([]consensus.Record{accept(1, 1, 4000)}))
	must(t, l.Append([]consensus.Record{prepared(1, 1)}))
	content, err := d.Content(l.o.path(l.segs[0].name()))
	must(t, err)
	frame := content[l.off.Load()-file.Block:]
	h, err := parseHeader(frame, file.Block)
	must(t, err)
	for i, c := range frame[headerSize+h.length:] {
		if c != 0 {
			t.Fatalf("byte %d of the padding is %#x", i, c)
		}
	}
}

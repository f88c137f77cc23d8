package wal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/storage/file"
)

// Version of the log's format. Every segment names it.
const Version = 1

// maxSpares is how many segments are kept to be written again.
const maxSpares = 8

// Names: 0000000007.log is segment 7, 0000000003.spare what was segment 3 and
// waits to be another one, 0000000000.new and 0000000001.new files that are being
// filled with zeros.
const (
	suffixLog   = ".log"
	suffixSpare = ".spare"
	nameNew     = "0000000000.new"
	nameAhead   = "0000000001.new" // the same, by Make
)

func nameOf(number uint64, suffix string) string { return fmt.Sprintf("%010d%s", number, suffix) }

// numberIn takes a name apart. Names that nameOf does not make are not ours.
func numberIn(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && nameOf(n, suffix) == name
}

// segment is a file of frames.
type segment struct {
	number uint64
	size   int64
	used   int64  // up to the end of its last frame
	first  uint64 // counter of its first frame
	high   uint64 // highest number that its records are about, 0: none
}

func (s *segment) name() string { return nameOf(s.number, suffixLog) }

// spare is a file to make a segment of. What it holds is zeros, or frames with
// lower counters than any that will be looked for in it.
type spare struct {
	number uint64 // 0: it was never a segment
	size   int64
}

func (s *spare) name() string { return nameOf(s.number, suffixSpare) }

// begin is what the first frame of a segment says.
type begin struct {
	size   int64  // of the file
	first  uint64 // its own counter
	oldest uint64 // the first segment that must be there
}

func (l *Log) appendBegin(b []byte, s *begin) []byte {
	b = crypto.AppendU16(b, Version)
	b = append(b, l.o.Cluster[:]...)
	b = crypto.AppendU64(b, uint64(s.size))
	b = crypto.AppendU64(b, s.first)
	b = crypto.AppendU64(b, s.oldest)
	return l.facts.append(b)
}

// begin reads it, up to the facts.
func (d *decoder) begin() (s begin, err error) {
	if v := d.U16(); d.Err() == nil && v != Version {
		return s, refused("the log has format version %d, this program knows %d: start the version that wrote it", v, Version)
	}
	if c := crypto.ClusterID(d.Digest()); d.Err() == nil && c != d.o.Cluster {
		return s, refused("the log is of cluster %s, this is a replica of %s: check the data directory and the configuration", c, d.o.Cluster)
	}
	s = begin{size: int64(d.U64()), first: d.U64(), oldest: d.U64()}
	return s, d.Err()
}

// roll begins the next segment, with room for a frame of need bytes. The name is
// durable before the first frame is, and that frame before any other: so a crash
// leaves at most one segment behind the last frame, and none within.
func (l *Log) roll(need int64) error {
	number := l.last() + 1
	b := l.appendBegin(l.begins.begin(), &begin{})
	size := max(l.o.SegmentBytes, blocks(int64(len(b)))+need)
	s := begin{size: size, first: l.k + 1, oldest: max(l.oldest, 1)}
	b = l.appendBegin(l.begins.begin(), &s)
	payload := len(b) - headerSize
	f, err := l.rename(number, size)
	if err != nil {
		return l.fail(fmt.Errorf("begin segment %d of the log, frame %d: %w", number, l.k+1, err))
	}
	if l.f != nil {
		if err := l.f.Close(); err != nil {
			err = errors.Join(err, f.Close())
			return l.fail(fmt.Errorf("close the segment before %d of the log: %w", number, err))
		}
	}
	l.f, l.oldest = f, s.oldest
	l.off.Store(0)
	l.segs = append(l.segs, segment{number: number, size: size, first: s.first})
	return l.put(kindSegment, l.begins.end(b), payload)
}

// last is the number of the last segment, 0 if there is none.
func (l *Log) last() uint64 {
	if len(l.segs) == 0 {
		return 0
	}
	return l.segs[len(l.segs)-1].number
}

// rename makes a file of size bytes the segment of a number, from a spare if it
// fits.
func (l *Log) rename(number uint64, size int64) (file.File, error) {
	from := nameNew
	if n := len(l.spares); n > 0 && l.spares[n-1].size == size {
		from = l.spares[n-1].name()
		l.spares = l.spares[:n-1]
	} else if err := l.create(size); err != nil {
		return nil, err
	}
	to := nameOf(number, suffixLog)
	if err := l.o.FS.Rename(l.o.path(from), l.o.path(to)); err != nil {
		return nil, err
	}
	if err := l.o.FS.SyncDir(l.o.Dir); err != nil {
		return nil, err
	}
	return l.o.FS.Open(l.o.path(to))
}

// create makes a file of zeros, under a name that opening the log clears away.
func (l *Log) create(size int64) error {
	f, err := l.o.FS.Create(l.o.path(nameNew), size, nil)
	if err != nil {
		return err
	}
	return f.Close()
}

// Ahead is a spare segment that is made before it is needed, so that no append
// has to wait for it.
type Ahead struct {
	o    *Options
	used *atomic.Int64 // the log's
	size int64
	err  error // of Make
}

// Ahead gives a spare segment to make, nil if there is one.
func (l *Log) Ahead() *Ahead {
	if len(l.spares) > 0 || l.err != nil {
		return nil
	}
	return &Ahead{o: &l.o, used: &l.off, size: l.o.SegmentBytes}
}

// Make writes the spare segment. It takes as long as that, and any goroutine may
// do it, one at a time. Then Adopt follows.
func (a *Ahead) Make() {
	f, err := a.o.FS.Create(a.o.path(nameAhead), a.size, a.pace)
	if err == nil {
		err = f.Close()
	}
	a.err = err
}

// aheadPause is what Make waits after each little that it writes. A sync waits
// for all that the device was given before, of four replicas at times: without
// the pause some took 20 ms.
const aheadPause = 4 * time.Millisecond

// pace pauses, unless the present segment fills so fast that the spare would be
// late.
func (a *Ahead) pace(written int64) {
	if written > 2*a.used.Load() {
		time.Sleep(aheadPause)
	}
}

// Adopt takes a spare segment that was made, or the error of making it.
func (l *Log) Adopt(a *Ahead) error {
	if err := l.usable(); err != nil {
		return err
	}
	if a.err != nil {
		return l.fail(fmt.Errorf("make a spare segment of the log: %w", a.err))
	}
	if len(l.spares) > 0 { // one was released meanwhile
		return l.remove(l.o.path(nameAhead))
	}
	s := spare{size: a.size}
	err := l.o.FS.Rename(l.o.path(nameAhead), l.o.path(s.name()))
	if err == nil {
		err = l.o.FS.SyncDir(l.o.Dir)
	}
	if err != nil {
		return l.fail(fmt.Errorf("take a spare segment of the log: %w", err))
	}
	l.spares = append(l.spares, s)
	return nil
}

// Release says that nothing about numbers up to n is needed any more. The oldest
// segments that hold nothing else go, the present one never. Facts stay: every
// segment begins with a copy of those that stood then.
func (l *Log) Release(n uint64) error {
	if err := l.usable(); err != nil {
		return err
	}
	l.freed = max(l.freed, n)
	count := 0
	for count < len(l.segs)-1 && (l.segs[count].high <= l.freed || l.segs[count].number < l.oldest) {
		count++ // the second is what a crash came between
	}
	if count == 0 {
		return nil
	}
	// That they may go is durable before they go: a first segment that is missing
	// for another reason is found when the log is opened.
	l.oldest = l.segs[count].number
	if err := l.write(kindRelease, crypto.AppendU64(l.frame.begin(), l.oldest)); err != nil {
		return err
	}
	return l.recycle(count)
}

// recycle removes the first segments, one by one: a crash leaves no gap.
func (l *Log) recycle(count int) error {
	for range count {
		if err := l.putAside(&l.segs[0]); err != nil {
			return l.fail(fmt.Errorf("release segment %d of the log: %w", l.segs[0].number, err))
		}
		l.segs = slices.Delete(l.segs, 0, 1)
	}
	return nil
}

// putAside makes a segment a spare, or removes it if there are enough, or if it
// has a size of its own.
func (l *Log) putAside(s *segment) error {
	path := l.o.path(s.name())
	if len(l.spares) >= maxSpares || s.size != l.o.SegmentBytes {
		return l.remove(path)
	}
	kept := spare{number: s.number, size: s.size}
	if err := l.o.FS.Rename(path, l.o.path(kept.name())); err != nil {
		return err
	}
	l.spares = append(l.spares, kept)
	return l.o.FS.SyncDir(l.o.Dir)
}

func (l *Log) remove(path string) error {
	if err := l.o.FS.Remove(path); err != nil {
		return err
	}
	return l.o.FS.SyncDir(l.o.Dir)
}

package wal

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync/atomic"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/storage/file"
)

// DefaultSegmentBytes is the size of a segment unless Options says otherwise,
// MinSegmentBytes the smallest one that is allowed.
const (
	DefaultSegmentBytes = 16 << 20
	MinSegmentBytes     = 4 * file.Block
)

// Options say where the log is and whose it is.
type Options struct {
	FS      file.FS
	Dir     string // of the log alone; made if it is not there
	Cluster crypto.ClusterID
	Limits  message.Limits // of batches, as configured when they were recorded
	// SegmentBytes is the size of a segment, in whole blocks; 0 is
	// DefaultSegmentBytes. What does not fit into it gets a segment of its own size,
	// which is not used again.
	SegmentBytes int64
	// ReadOnly changes nothing at all on disk, not even a torn tail.
	ReadOnly bool
	// ID marks the frames of a log that is made. The zero value draws one at
	// random, which is what keeps clients from sending bytes that look like frames.
	ID [16]byte
}

func (o *Options) check() error {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.SegmentBytes < MinSegmentBytes || o.SegmentBytes%file.Block != 0 {
		return fmt.Errorf("log segments of %d bytes: they must have a multiple of %d and at least %d, say %d",
			o.SegmentBytes, file.Block, MinSegmentBytes, DefaultSegmentBytes)
	}
	return nil
}

func (o *Options) path(name string) string { return filepath.Join(o.Dir, name) }

// Log is the log of one replica, open to append to. One goroutine uses it.
type Log struct {
	o      Options
	id     id
	segs   []segment // oldest first; the last one is written
	spares []spare
	f      file.File    // of the last segment
	off    atomic.Int64 // where the next frame goes; Ahead reads it, too
	k      uint64       // counter of the last frame
	chain  chain        // that the next frame carries
	oldest uint64       // number of the first segment that must be there
	freed  uint64       // highest number released
	clean  bool         // the last frame says that the log was closed

	facts  facts
	frame  buffer // of what is appended
	begins buffer // of what a segment begins with
	err    error  // of the first failure, for good
	stats  Stats
}

// Stats are numbers about a log.
type Stats struct {
	Segments, Spares int
	Bytes            int64  // of all files
	Used             int64  // of them, those in frames
	First, Last      uint64 // counters of the oldest frame and of the newest one
	Frames           uint64 // written since it was opened
	Written          int64  // bytes in these frames, headers and padding too

	// How it was when it was opened.
	Clean bool // it was closed in order, or is new
	Torn  bool // a write that nobody was told of was cut, and has been dropped
}

// Stats gives the numbers as they are now.
func (l *Log) Stats() Stats {
	s := l.stats
	s.Segments, s.Spares, s.Last = len(l.segs), len(l.spares), l.k
	for i := range l.segs {
		s.Bytes += l.segs[i].size
		s.Used += l.segs[i].used
	}
	for i := range l.spares {
		s.Bytes += l.spares[i].size
	}
	if len(l.segs) > 0 {
		s.First = l.segs[0].first
	}
	return s
}

// Append writes records as one frame. They are durable, all of them, when it
// returns; if it fails, they may be or not, none or all, and the log takes
// nothing more. It allocates nothing unless a segment ends, or the frame is the
// largest so far.
func (l *Log) Append(records []consensus.Record) error {
	if err := l.usable(); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	for i := range records {
		if err := check(&records[i], l.o.Cluster); err != nil {
			return l.fail(fmt.Errorf("append record %d of %d: %w", i+1, len(records), err))
		}
	}
	b := appendRecords(l.frame.begin(), records)
	if err := l.write(kindRecords, b); err != nil {
		return err
	}
	last := &l.segs[len(l.segs)-1]
	for i := range records {
		l.facts.note(&records[i])
		last.high = max(last.high, numberOf(&records[i]))
	}
	return nil
}

// write writes the frame that l.frame holds, into a new segment if the present
// one has no room for it.
func (l *Log) write(k kind, b []byte) error {
	payload := len(b) - headerSize
	if payload > maxPayload {
		return l.fail(fmt.Errorf("append %d bytes to the log: a frame has at most %d, append fewer records at once", payload, maxPayload))
	}
	frame := l.frame.end(b)
	if l.off.Load()+int64(len(frame)) > l.segs[len(l.segs)-1].size {
		if err := l.roll(int64(len(frame))); err != nil {
			return err
		}
	}
	return l.put(k, frame, payload)
}

// put completes a frame and writes it where the next one goes.
func (l *Log) put(k kind, frame []byte, payload int) error {
	seg := &l.segs[len(l.segs)-1]
	h := header{id: l.id, counter: l.k + 1, chain: l.chain, segment: seg.number, length: payload, kind: k}
	h.seal(frame)
	off := l.off.Load()
	if err := l.f.WriteSync(frame, off); err != nil {
		return l.fail(fmt.Errorf("frame %d of the log, at %d of %s: %w", h.counter, off, l.o.path(seg.name()), err))
	}
	l.k, l.chain, l.clean = h.counter, link(frame), k == kindClean
	seg.used = off + int64(len(frame))
	l.off.Store(seg.used)
	l.stats.Frames++
	l.stats.Written += int64(len(frame))
	return nil
}

// Close notes that the log ends here in order, and closes it. A log that has
// failed is closed as it is.
func (l *Log) Close() error {
	if l.err != nil {
		return l.closeFile(nil)
	}
	if l.clean {
		l.err = errClosed // nothing was written since it was closed before
		return l.closeFile(nil)
	}
	err := l.write(kindClean, l.frame.begin())
	if err == nil {
		l.err = errClosed
	}
	return l.closeFile(err)
}

func (l *Log) closeFile(err error) error {
	if l.f == nil {
		return err
	}
	closing := l.f.Close()
	l.f = nil
	if err == nil && closing != nil {
		err = fmt.Errorf("close the log: %w", closing)
	}
	return err
}

// draw makes an id.
func (o *Options) draw() (i id, err error) {
	if o.ID != (id{}) {
		return o.ID, nil
	}
	if _, err := rand.Read(i[:]); err != nil {
		return i, fmt.Errorf("draw an id for a new log: %w", err)
	}
	return i, nil
}

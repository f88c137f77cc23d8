package wal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/storage/file"
)

// scan reads a log from its first frame to its last.
type scan struct {
	l    *Log
	take func(*consensus.Record) error
	r    reader
	tail int64 // size of the last frame
}

// run sets the log's state to what is behind its last frame.
//
// Frame k+1 stands behind frame k, or at the start of the next segment. Where it
// does not, frame k is the last one, unless a frame with a higher counter is
// found anywhere from there on: it was written after frame k+1 was durable, so
// that one was lost later, by other things than a crash.
func (s *scan) run() error {
	l := s.l
	defer s.r.close()
	rest := l.segs
	l.segs = nil
	why := ""
	for len(rest) > 0 {
		seg := &rest[0]
		if err := s.r.open(l.o.FS, l.o.path(seg.name())); err != nil {
			return err
		}
		seg.size = s.r.size
		reason, err := s.segment(seg)
		if err != nil {
			return err
		}
		if why = reason; seg.used == 0 {
			break
		}
		l.segs, rest = append(l.segs, *seg), rest[1:]
	}
	l.stats.Clean = l.clean
	switch {
	case len(l.segs) > 0:
		return s.end(rest, why)
	case len(rest) > 0:
		return s.nothing(rest, why)
	default:
		return nil
	}
}

// segment reads the frames of one segment, and tells why there is no further
// one.
func (s *scan) segment(seg *segment) (why string, err error) {
	l := s.l
	if seg.size%file.Block != 0 || seg.size == 0 {
		return "", s.corrupt(0, "the file has %d bytes, which is no multiple of %d: it was cut", seg.size, file.Block)
	}
	l.stats.Torn = false
	for seg.used < seg.size {
		h, frame, reason, err := s.frame(seg.used)
		if err != nil {
			return "", err
		}
		first := len(l.segs) == 0 && seg.used == 0
		if first && reason == "" {
			l.id, l.k, l.chain = h.id, h.counter-1, h.chain
		}
		if reason == "" {
			reason = s.follows(&h, seg)
		}
		if reason != "" {
			l.stats.Torn = h.counter == l.k+1 && h.id == l.id
			return reason, nil
		}
		if err := s.payload(&h, frame, seg, first); err != nil {
			return "", err
		}
		l.k, l.chain, l.clean = h.counter, link(frame), h.kind == kindClean
		s.tail = h.size()
		seg.used += h.size()
	}
	return "the segment is full", nil
}

// follows tells why a frame, in order by itself, is not the next one of the log.
func (s *scan) follows(h *header, seg *segment) string {
	l := s.l
	switch {
	case h.id != l.id:
		return "a frame of another log is there"
	case h.counter != l.k+1:
		return fmt.Sprintf("frame %d is there", h.counter)
	case h.segment != seg.number:
		return fmt.Sprintf("frame %d of segment %d is there", h.counter, h.segment)
	case h.chain != l.chain:
		return fmt.Sprintf("a frame %d is there that does not belong to the frame %d before it", h.counter, l.k)
	case (h.kind == kindSegment) != (seg.used == 0):
		return fmt.Sprintf("frame %d is there, which is of kind %d", h.counter, h.kind)
	}
	return ""
}

// frame reads the frame at off. The reason tells why there is none; the header is
// what was read of it even so.
func (s *scan) frame(off int64) (h header, frame []byte, reason string, err error) {
	b, err := s.r.read(off, file.Block)
	if err != nil {
		return h, nil, "", err
	}
	h, parsing := parseHeader(b, s.r.size-off)
	if parsing != nil {
		return h, nil, parsing.Error(), nil
	}
	if frame, err = s.r.read(off, int(h.size())); err != nil {
		return h, nil, "", err
	}
	if want, got := binary.BigEndian.Uint32(frame[checksumAt:]), checksum(frame); want != got {
		return h, nil, fmt.Sprintf("a frame is there whose checksum is %#08x and says %#08x", got, want), nil
	}
	return h, frame, "", nil
}

// payload takes in what a frame says. Its checksum is right, so whatever is wrong
// now was written so.
func (s *scan) payload(h *header, frame []byte, seg *segment, first bool) error {
	l := s.l
	d := decoder{Reader: crypto.NewReader(frame[headerSize:][:h.length]), o: &l.o}
	var err error
	switch h.kind {
	case kindSegment:
		err = s.begin(&d, h, seg, first)
	case kindRecords:
		err = d.records(func(r *consensus.Record) error { return s.record(r, seg) })
	case kindClean:
		err = d.Done()
	case kindRelease:
		err = s.oldest(d.U64(), seg)
		err = cmp.Or(d.Done(), err)
	default:
		err = fmt.Errorf("its kind %d is unknown", h.kind)
	}
	var refused *refusedError
	var corrupt *CorruptError
	switch {
	case err == nil || errors.As(err, &corrupt):
		return err
	case errors.As(err, &refused):
		return fmt.Errorf("frame %d, at %d of %s: %w", h.counter, seg.used, s.r.name, err)
	default:
		return s.corrupt(seg.used, "frame %d is whole, and cannot be read: %v", h.counter, err)
	}
}

func (s *scan) record(r *consensus.Record, seg *segment) error {
	s.l.facts.note(r)
	seg.high = max(seg.high, numberOf(r))
	return s.take(r)
}

// begin takes in the start of a segment. The facts of the first one stand for all
// that went before; those of later ones were read already.
func (s *scan) begin(d *decoder, h *header, seg *segment, first bool) error {
	b, err := d.begin()
	switch {
	case err != nil:
		return err
	case b.size != seg.size:
		return s.corrupt(0, "the segment was made with %d bytes, the file has %d", b.size, seg.size)
	case b.first != h.counter:
		return fmt.Errorf("it counts itself as %d", b.first)
	}
	seg.first = b.first
	if err := s.oldest(b.oldest, seg); err != nil {
		return err
	}
	return d.records(func(r *consensus.Record) error {
		if !first {
			return nil // it was read already, where it was recorded
		}
		s.l.facts.note(r)
		return s.take(r)
	})
}

// oldest takes in which segments must be there. It never goes back.
func (s *scan) oldest(n uint64, seg *segment) error {
	if n < s.l.oldest || n > seg.number {
		return fmt.Errorf("it says that segment %d is the oldest one needed, which was %d in segment %d", n, s.l.oldest, seg.number)
	}
	s.l.oldest = n
	return nil
}

// end decides that the log ends behind the last frame that was read. There may
// be one segment more, that had its name and not yet its first frame: the next
// one takes its place. Why is what stands in place of the next frame.
func (s *scan) end(rest []segment, why string) error {
	l := s.l
	first, last := &l.segs[0], &l.segs[len(l.segs)-1]
	expected := &CorruptError{l.o.path(last.name()), last.used, fmt.Sprintf("frame %d is not there (%s)", l.k+1, why)}
	if last.used == last.size && len(rest) > 0 {
		expected.File, expected.Offset = l.o.path(rest[0].name()), 0
	}
	if err := s.later(last, last.used, expected); err != nil {
		return err
	}
	for i := range rest {
		if err := s.later(&rest[i], 0, expected); err != nil {
			return err
		}
	}
	if len(rest) > 1 {
		expected.Reason += fmt.Sprintf(", but segments up to %d are", rest[len(rest)-1].number)
		return expected
	}
	if first.number > l.oldest {
		missing := segment{number: l.oldest}
		return &CorruptError{l.o.path(missing.name()), 0, fmt.Sprintf("this segment is missing: the log begins with %s, and was never told to give the others up", first.name())}
	}
	return nil
}

// later looks for frames behind the end, from an offset of a segment on.
func (s *scan) later(seg *segment, from int64, expected *CorruptError) error {
	l := s.l
	if err := s.r.open(l.o.FS, l.o.path(seg.name())); err != nil {
		return err
	}
	for off := from; off+file.Block <= s.r.size; off += file.Block {
		b, err := s.r.read(off, file.Block)
		if err != nil {
			return err
		}
		if h, err := parseHeader(b, s.r.size-off); err != nil || h.id != l.id || h.counter <= l.k {
			continue
		}
		h, _, reason, err := s.frame(off)
		if err != nil {
			return err
		}
		if reason == "" {
			expected.Reason += fmt.Sprintf(", but frame %d is, at %d of %s", h.counter, off, s.r.name)
			return expected
		}
	}
	return nil
}

// nothing decides that a log without a first frame is one that was just made:
// a file of zeros, and in its first block what there is of the first write.
func (s *scan) nothing(rest []segment, why string) error {
	l := s.l
	name := l.o.path(rest[0].name())
	damaged := &CorruptError{name, 0, "the log's first frame is not there (" + why + ")"}
	if rest[0].number != 1 || len(rest) > 1 || len(l.spares) > 0 {
		damaged.Reason += fmt.Sprintf(", but there are %d segments from %d on, and %d spares", len(rest), rest[0].number, len(l.spares))
		return damaged
	}
	if _, _, reason, err := s.frame(0); err != nil || reason == "" {
		return cmp.Or(err, error(damaged))
	}
	for off := int64(file.Block); off < rest[0].size; off += file.Block {
		b, err := s.r.read(off, file.Block)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, zeros[:]) {
			damaged.Reason += fmt.Sprintf(", but something is at %d", off)
			return damaged
		}
	}
	return nil
}

var zeros [file.Block]byte

func (s *scan) corrupt(off int64, format string, args ...any) error {
	return &CorruptError{s.r.name, off, fmt.Sprintf(format, args...)}
}

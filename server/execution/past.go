package execution

import (
	"github.com/pbft-go/pbft/crypto"
)

// past holds what buckets were before they changed, for the snapshots that are
// held: a period for each checkpoint, from it to the next one. So the store
// stays small and changes in place, and a snapshot costs one copy of each
// bucket that changes, written one behind the other.
type past struct {
	periods []*period // oldest first; the last one goes on
	retired *period   // for its memory
	values  *values
}

// period is what buckets were at its beginning, if they changed in it.
type period struct {
	held     int // snapshots of its beginning in use
	images   []image
	large    []ref    // the images' long values
	replaced []ref    // long values that the images hold, and the store does not any more
	segments [][]byte // the images' data, one behind the other
	used     int      // segments in use
	index    []uint32 // where in images a bucket is, plus one; nil: nobody asked yet
	indexed  int      // images in index
}

// image is the content of a bucket: its entries in canonical bytes, with the
// digests of long values, and those values.
type image struct {
	bucket int
	data   []byte
	large  []ref
}

// segmentSize is how many bytes of images are allocated at once.
const segmentSize = 1 << 20

// begin ends the period and begins another.
func (p *past) begin(s *Store) *Snapshot {
	next := p.retired
	if p.retired = nil; next == nil {
		next = &period{}
	}
	next.held = 1
	p.periods = append(p.periods, next)
	return &Snapshot{store: s, period: next}
}

// keep notes a bucket as it is, before its first change in this period.
func (p *past) keep(i int, b *chunk) {
	if len(p.periods) == 0 {
		return
	}
	now := p.periods[len(p.periods)-1]
	m := image{bucket: i}
	size := 0
	b.each(func(part *chunk) { size += len(part.data) })
	first := len(now.large)
	m.data, now.large = b.appendTo(now.room(size), now.large)
	if last := len(now.large); last > first {
		m.large = now.large[first:last:last]
	}
	now.images = append(now.images, m)
}

// replaced takes a long value, if there is one, that the store does not need
// any more. One that is sealed was there when the period began: its image may
// hold it.
func (p *past) replaced(r ref, sealed, ok bool) {
	last := len(p.periods) - 1
	switch {
	case !ok:
	case sealed && last >= 0:
		p.periods[last].replaced = append(p.periods[last].replaced, r)
	default:
		p.values.drop(r)
	}
}

// room is space for so many bytes.
func (p *period) room(size int) []byte {
	if size > segmentSize/4 {
		return make([]byte, 0, size)
	}
	if p.used == 0 || cap(p.segments[p.used-1])-len(p.segments[p.used-1]) < size {
		if p.used == len(p.segments) {
			p.segments = append(p.segments, make([]byte, 0, segmentSize))
		}
		p.used++
	}
	s := &p.segments[p.used-1]
	at := len(*s)
	*s = (*s)[:at+size]
	return (*s)[at:at:len(*s)]
}

// find is what a bucket was at the beginning of the period, nil if it did not
// change in it.
func (p *period) find(bucket int) *image {
	if p.index == nil {
		p.index = make([]uint32, numBuckets)
	}
	for ; p.indexed < len(p.images); p.indexed++ {
		p.index[p.images[p.indexed].bucket] = uint32(p.indexed) + 1
	}
	if i := p.index[bucket]; i > 0 {
		return &p.images[i-1]
	}
	return nil
}

// release lets go of the periods that no snapshot needs any more.
func (p *past) release() {
	for len(p.periods) > 0 && p.periods[0].held == 0 {
		old := p.periods[0]
		p.periods = p.periods[1:]
		for _, r := range old.replaced {
			p.values.drop(r)
		}
		for i := range old.indexed {
			old.index[old.images[i].bucket] = 0
		}
		clear(old.images)
		for i := range old.used {
			old.segments[i] = old.segments[i][:0]
		}
		// What was not needed this time is given back.
		*old = period{
			images: old.images[:0], large: old.large[:0], replaced: old.replaced[:0],
			segments: old.segments[:old.used:old.used], index: old.index,
		}
		p.retired = old
	}
}

// Snapshot is the state at one moment: later writes to the store leave it
// unchanged. It belongs to the store's goroutine.
type Snapshot struct {
	store  *Store
	period *period
}

// share is the same snapshot for another user.
func (s *Snapshot) share() *Snapshot {
	s.period.held++
	return &Snapshot{store: s.store, period: s.period}
}

// Release ends the use of a snapshot.
func (s *Snapshot) Release() {
	s.period.held--
	s.store.past.release()
	*s = Snapshot{}
}

// bucket is the content of a bucket.
func (s *Snapshot) bucket(i int) image { return s.read(i, &image{}) }

// read is bucket in the memory of scratch, as far as it needs any: it is valid
// until the next change of the store, or the next use of scratch.
func (s *Snapshot) read(i int, scratch *image) image {
	behind := true
	for _, p := range s.store.past.periods {
		if behind = behind && p != s.period; behind {
			continue
		}
		if m := p.find(i); m != nil {
			return *m
		}
	}
	b := &s.store.buckets[i]
	b.each(s.store.tree.h.sealPart)
	scratch.data, scratch.large = b.appendTo(scratch.data[:0], scratch.large[:0])
	return image{bucket: i, data: scratch.data, large: scratch.large}
}

// Root digests the snapshot from scratch.
func (s *Snapshot) Root() crypto.Digest {
	h := newHasher(s.store.tree.h.c, s.store.values)
	level := make([]crypto.Digest, numBuckets)
	for i := range level {
		m := s.bucket(i)
		level[i] = h.digest(i, m.data)
	}
	return h.rootOf(level)
}

package execution

import (
	"encoding/binary"
	"math/bits"

	"github.com/pbft-go/pbft/crypto"
)

// The application's state is a set of buckets. A key's bucket follows from its
// hash, so the shape of the tree over them depends on the content alone, not
// on the order in which it came. A bucket holds its entries sorted by key.
// These are formats: a change is a new version.

// numBuckets is 16^treeLevels.
const (
	numBuckets = 1 << 16
	treeLevels = 4
	fanout     = 16
)

// bucketOf hashes a key, eight bytes at a time, by products folded in half. It
// needs balance, not secrecy.
func bucketOf(key []byte) int {
	h := uint64(len(key)) ^ 0x9E3779B97F4A7C15
	for ; len(key) >= 8; key = key[8:] {
		h = fold(h ^ binary.LittleEndian.Uint64(key))
	}
	var last uint64
	for i, c := range key {
		last |= uint64(c) << (8 * i)
	}
	return int(fold(fold(h^last)^0xE7037ED1A0B428DB) >> 48)
}

func fold(x uint64) uint64 {
	hi, lo := bits.Mul64(x^0x8EBC6AF09C88C6E3, 0xA0761D6478BD642F)
	return hi ^ lo
}

// Store is the application's state in memory. It implements
// statemachine.State and is used by one goroutine.
//
// It changes in place. What a checkpoint needs of a bucket is taken before the
// bucket's first change after it: its digest, if it is still to be made, and
// its content, while the checkpoint's snapshot is held.
type Store struct {
	buckets []chunk // numBuckets
	dirty   bitset  // buckets changed since the last checkpoint
	unsaved bitset  // and those that changed before it, but after what is saved; nil: nothing is
	tree    *tree
	past    past
	values  *values

	entry   []byte // scratch of Put
	ahead   []int  // scratch of Prefetch
	touched uint64 // keeps the compiler from leaving its reads out
}

// NewStore makes an empty store.
func NewStore(c crypto.ClusterID) *Store {
	v := &values{}
	return &Store{
		buckets: make([]chunk, numBuckets), dirty: newBitset(numBuckets),
		tree: newTree(c, v), past: past{values: v}, values: v,
	}
}

const (
	cacheLine     = 64
	prefetchBytes = 512 // of a bucket
)

// Prefetch brings what the keys need into the processor's caches. One key's
// way through memory is a chain of waits; the ways of many keys overlap.
func (s *Store) Prefetch(keys [][]byte) {
	at := s.ahead[:0]
	for _, k := range keys {
		at = append(at, bucketOf(k))
	}
	var sum uint64
	for _, i := range at {
		sum += uint64(len(s.buckets[i].data))
	}
	for _, i := range at {
		sum += touch(s.buckets[i].data)
	}
	s.touched = sum
	s.ahead = at
}

// touch reads a byte of each cache line. Whoever calls it keeps the sum, lest
// the compiler leave the reads out.
func touch(d []byte) (sum uint64) {
	for j := 0; j < len(d) && j < prefetchBytes; j += cacheLine {
		sum += uint64(d[j])
	}
	return sum
}

// Get returns the value of key, valid until the next change.
func (s *Store) Get(key []byte) ([]byte, bool) {
	c := s.buckets[bucketOf(key)].part(key)
	at := c.find(key)
	if at.size == 0 {
		return nil, false
	}
	if at.isLarge {
		return s.values.get(c.more.large[at.large]), true
	}
	v := c.data[at.offset+8+len(key) : at.offset+at.size]
	return v[:len(v):len(v)], true
}

// Put stores a copy of value under a copy of key.
func (s *Store) Put(key, value []byte) {
	i := bucketOf(key)
	if !s.dirty.has(i) {
		s.firstChange(i)
	}
	// The entry is made aside: value may lie in the bucket.
	e := crypto.AppendBytes(s.entry[:0], key)
	var large *ref
	if len(value) > maxInline {
		r := s.values.add(value)
		large = &r
		e = append(crypto.AppendU32(e, uint32(len(value))), noDigest[:]...)
	} else {
		e = crypto.AppendBytes(e, value)
	}
	s.entry = e
	b := &s.buckets[i]
	c := b.part(key)
	at := c.find(key)
	s.past.replaced(c.value(at))
	c.put(at, e, large)
	if len(c.data) > chunkSize {
		b.split(c)
	}
}

// Delete removes key if it is there.
func (s *Store) Delete(key []byte) {
	i := bucketOf(key)
	b := &s.buckets[i]
	if b.part(key).find(key).size == 0 {
		return
	}
	if !s.dirty.has(i) {
		s.firstChange(i)
	}
	c := b.part(key)
	at := c.find(key)
	s.past.replaced(c.value(at))
	c.remove(at)
	if len(c.data) == 0 {
		b.drop(c)
	}
}

// firstChange takes what checkpoints need of a bucket that is about to change.
func (s *Store) firstChange(i int) {
	if s.tree.pending.has(i) {
		s.tree.leaf(i, &s.buckets[i])
	}
	s.past.keep(i, &s.buckets[i])
	s.dirty.add(i)
}

// Checkpoint begins to digest the present state, and returns it as it is now.
// Later writes leave both alone.
func (s *Store) Checkpoint() *Snapshot {
	s.Root() // of the checkpoint before, if it is not done
	s.tree.begin(s.dirty)
	s.unsaved.join(s.dirty)
	clear(s.dirty)
	return s.past.begin(s)
}

// Digest does a piece of the digest that Checkpoint began: at most most
// buckets or nodes of the tree. It reports whether the digest is complete.
func (s *Store) Digest(most int) (done bool) { return s.tree.step(s.buckets, most) }

// Root is the digest of the state at the last checkpoint. It does what is left
// to do.
func (s *Store) Root() crypto.Digest {
	for !s.Digest(numBuckets) {
	}
	return s.tree.levels[0][0]
}

package execution

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/pbft-go/pbft/crypto"
)

// The application's state is a set of buckets. A key's bucket follows from its
// hash, so the shape of the tree over them depends on the content alone, not
// on the order in which it came. A bucket holds its entries sorted by key, in
// canonical bytes (u32 length and key, u32 length and value), without a
// pointer per entry. These are formats: a change is a new version.

// numBuckets is 16^treeLevels.
const (
	numBuckets = 1 << 16
	treeLevels = 4
	fanout     = 16
)

// chunkSize is where a bucket's bytes are split: a client that aims all its
// keys at one bucket pays a search among chunks, not a walk over the bucket.
// Chunks change no digest.
const chunkSize = 4 << 10

// bucketOf hashes a key: FNV-1a, folded and spread. It needs balance, not
// secrecy.
func bucketOf(key []byte) int {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9E3779B97F4A7C15
	return int(h >> 48)
}

// bucket is one bucket's entries in chunks, sorted, none of them empty. Bucket
// and chunk belong to one generation of the store each: a snapshot of an older
// one keeps them unchanged.
type bucket struct {
	generation uint64
	chunks     []chunk
	first      [1]chunk // holds chunks while there is no more than one
}

type chunk struct {
	generation uint64
	data       []byte
}

// Store is the application's state in memory. It implements
// statemachine.State and is used by one goroutine.
type Store struct {
	buckets    []*bucket // numBuckets, nil: empty
	generation uint64
	tree       *tree

	ahead   []*bucket // scratch of Prefetch
	touched uint64    // keeps the compiler from leaving its reads out
}

// NewStore makes an empty store.
func NewStore(c crypto.ClusterID) *Store {
	return &Store{buckets: make([]*bucket, numBuckets), tree: newTree(c)}
}

// Root digests the state, at a cost that follows what changed since the last
// call.
func (s *Store) Root() crypto.Digest { return s.tree.root(s.buckets) }

// Prefetch brings what the keys need into the processor's caches. One key's
// way through memory is a chain of waits; the ways of many keys overlap.
func (s *Store) Prefetch(keys [][]byte) {
	at := s.ahead[:0]
	for _, k := range keys {
		at = append(at, s.buckets[bucketOf(k)])
	}
	var sum uint64
	for _, b := range at {
		if b != nil {
			sum += b.generation
		}
	}
	for _, b := range at {
		if b != nil && len(b.chunks) > 0 {
			sum += uint64(b.chunks[0].data[0])
		}
	}
	s.touched = sum
	clear(at)
	s.ahead = at[:0]
}

// Get returns the value of key, valid until the next change.
func (s *Store) Get(key []byte) ([]byte, bool) {
	b := s.buckets[bucketOf(key)]
	if b == nil {
		return nil, false
	}
	at, size := b.find(key)
	if size == 0 {
		return nil, false
	}
	e := b.chunks[at.chunk].data[at.offset:]
	return e[8+len(key) : size : size], true
}

// Put stores a copy of value under a copy of key.
func (s *Store) Put(key, value []byte) {
	i := bucketOf(key)
	b := s.writable(i)
	s.tree.touch(i)
	at, old := b.find(key)
	if old == 8+len(key)+len(value) && b.chunks[at.chunk].generation == s.generation {
		copy(b.chunks[at.chunk].data[at.offset+8+len(key):], value)
		return
	}
	b.replace(at, old, key, value)
}

// Delete removes key if it is there.
func (s *Store) Delete(key []byte) {
	i := bucketOf(key)
	if s.buckets[i] == nil {
		return
	}
	at, size := s.buckets[i].find(key)
	if size == 0 {
		return
	}
	s.writable(i).remove(at, size)
	s.tree.touch(i)
}

// writable is bucket i, copied first if a snapshot holds it; the chunks are
// copied when they are written to.
func (s *Store) writable(i int) *bucket {
	b := s.buckets[i]
	if b != nil && b.generation == s.generation {
		return b
	}
	own := &bucket{generation: s.generation}
	if b != nil {
		own.chunks = append(own.first[:0], b.chunks...)
	}
	s.buckets[i] = own
	return own
}

// place is where an entry is, or where it belongs.
type place struct{ chunk, offset int }

func entrySize(e []byte) int {
	k := int(binary.BigEndian.Uint32(e))
	return 8 + k + int(binary.BigEndian.Uint32(e[4+k:]))
}

func entryKey(e []byte) []byte { return e[4 : 4+binary.BigEndian.Uint32(e)] }

// find looks for key: the last chunk that does not begin above it, then entry
// by entry. size is that of the entry, 0 if there is none.
func (b *bucket) find(key []byte) (at place, size int) {
	lo, hi := 0, len(b.chunks)
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(entryKey(b.chunks[mid].data), key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	at.chunk = max(lo-1, 0)
	if len(b.chunks) == 0 {
		return at, 0
	}
	c := b.chunks[at.chunk].data
	for at.offset < len(c) {
		e := c[at.offset:]
		switch bytes.Compare(entryKey(e), key) {
		case 0:
			return at, entrySize(e)
		case 1:
			return at, 0
		}
		at.offset += entrySize(e)
	}
	return at, 0
}

// replace puts an entry in the place of one of old bytes (0: none). It makes a
// new chunk: value may lie in the present one.
func (b *bucket) replace(at place, old int, key, value []byte) {
	if len(b.chunks) == 0 {
		b.chunks = append(b.first[:0], chunk{})
	}
	c := &b.chunks[at.chunk]
	n := make([]byte, 0, len(c.data)-old+8+len(key)+len(value))
	n = append(n, c.data[:at.offset]...)
	n = crypto.AppendBytes(n, key)
	n = crypto.AppendBytes(n, value)
	n = append(n, c.data[at.offset+old:]...)
	*c = chunk{b.generation, n}
	if len(n) > chunkSize {
		b.split(at.chunk)
	}
}

// split halves a chunk at an entry, if it holds more than one.
func (b *bucket) split(i int) {
	c := b.chunks[i].data
	cut := entrySize(c)
	for cut < len(c)/2 {
		next := cut + entrySize(c[cut:])
		if next == len(c) {
			break
		}
		cut = next
	}
	if cut == len(c) {
		return
	}
	right := chunk{b.generation, bytes.Clone(c[cut:])}
	b.chunks[i].data = bytes.Clone(c[:cut])
	b.chunks = slices.Insert(b.chunks, i+1, right)
	b.first[0] = chunk{} // there is more than one now
}

// remove takes an entry out.
func (b *bucket) remove(at place, size int) {
	c := &b.chunks[at.chunk]
	if len(c.data) == size {
		b.chunks = slices.Delete(b.chunks, at.chunk, at.chunk+1)
		return
	}
	if c.generation != b.generation {
		*c = chunk{b.generation, bytes.Clone(c.data)}
	}
	c.data = slices.Delete(c.data, at.offset, at.offset+size)
}

// Snapshot is the state at one moment. Later writes to the store leave it
// unchanged.
type Snapshot struct{ buckets []*bucket }

// Snapshot keeps the present state: a copy of the table of buckets, which the
// store copies one by one before it changes them.
func (s *Store) Snapshot() *Snapshot {
	s.generation++
	return &Snapshot{buckets: append([]*bucket(nil), s.buckets...)}
}

package execution

import (
	"bytes"
	"encoding/binary"

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

// bucket is one bucket's entries in chunks. It belongs to one generation of
// the store: a snapshot of an older one keeps it unchanged.
type bucket struct {
	generation uint64
	chunks     [][]byte
}

// Store is the application's state in memory. It implements
// statemachine.State and is used by one goroutine.
type Store struct {
	c          crypto.ClusterID
	buckets    []*bucket // numBuckets, nil: empty
	generation uint64
	dirty      dirtySet
	tree       tree
}

// dirtySet is the set of buckets that changed since the last root.
type dirtySet struct {
	marked []bool
	list   []int
}

func (d *dirtySet) add(i int) {
	if !d.marked[i] {
		d.marked[i] = true
		d.list = append(d.list, i)
	}
}

// NewStore makes an empty store.
func NewStore(c crypto.ClusterID) *Store {
	return &Store{c: c, buckets: make([]*bucket, numBuckets), dirty: dirtySet{marked: make([]bool, numBuckets)}, tree: newTree()}
}

// Prefetch is a hint that this store does not need.
func (s *Store) Prefetch([][]byte) {}

// Get returns the value of key, valid until the next change.
func (s *Store) Get(key []byte) ([]byte, bool) {
	b := s.buckets[bucketOf(key)]
	if b == nil {
		return nil, false
	}
	at, found := b.find(key)
	if !found {
		return nil, false
	}
	e := b.chunks[at.chunk][at.offset:]
	k := int(binary.BigEndian.Uint32(e))
	v := int(binary.BigEndian.Uint32(e[4+k:]))
	return e[8+k : 8+k+v : 8+k+v], true
}

// Put stores a copy of value under a copy of key.
func (s *Store) Put(key, value []byte) {
	b := s.writable(bucketOf(key))
	at, found := b.find(key)
	old := 0
	if found {
		c := b.chunks[at.chunk]
		old = entrySize(c[at.offset:])
		if old == 8+len(key)+len(value) {
			copy(c[at.offset+8+len(key):], value)
			return
		}
	}
	b.replace(at, old, key, value)
}

// Delete removes key if it is there.
func (s *Store) Delete(key []byte) {
	i := bucketOf(key)
	if s.buckets[i] == nil {
		return
	}
	if _, found := s.buckets[i].find(key); !found {
		return
	}
	b := s.writable(i)
	at, _ := b.find(key)
	b.remove(at, entrySize(b.chunks[at.chunk][at.offset:]))
}

// writable is bucket i, copied first if a snapshot holds it.
func (s *Store) writable(i int) *bucket {
	s.dirty.add(i)
	b := s.buckets[i]
	switch {
	case b == nil:
		b = &bucket{generation: s.generation}
	case b.generation != s.generation:
		c := &bucket{generation: s.generation, chunks: make([][]byte, len(b.chunks))}
		for j, chunk := range b.chunks {
			c.chunks[j] = append(make([]byte, 0, cap(chunk)), chunk...)
		}
		b = c
	default:
		return b
	}
	s.buckets[i] = b
	return b
}

// place is where an entry is, or where it belongs.
type place struct{ chunk, offset int }

func entrySize(e []byte) int {
	k := int(binary.BigEndian.Uint32(e))
	return 8 + k + int(binary.BigEndian.Uint32(e[4+k:]))
}

func entryKey(e []byte) []byte { return e[4 : 4+binary.BigEndian.Uint32(e)] }

// find looks for key: the last chunk that does not begin above it, then entry
// by entry.
func (b *bucket) find(key []byte) (at place, found bool) {
	lo, hi := 0, len(b.chunks)
	for lo < hi {
		mid := (lo + hi) / 2
		if bytes.Compare(entryKey(b.chunks[mid]), key) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	at.chunk = max(lo-1, 0)
	if len(b.chunks) == 0 {
		return at, false
	}
	c := b.chunks[at.chunk]
	for at.offset < len(c) {
		switch bytes.Compare(entryKey(c[at.offset:]), key) {
		case 0:
			return at, true
		case 1:
			return at, false
		}
		at.offset += entrySize(c[at.offset:])
	}
	return at, false
}

// replace puts an entry in the place of one of old bytes (0: none).
func (b *bucket) replace(at place, old int, key, value []byte) {
	if len(b.chunks) == 0 {
		b.chunks = append(b.chunks, nil)
	}
	c := b.chunks[at.chunk]
	n := make([]byte, 0, len(c)-old+8+len(key)+len(value))
	n = append(n, c[:at.offset]...)
	n = crypto.AppendBytes(n, key)
	n = crypto.AppendBytes(n, value)
	n = append(n, c[at.offset+old:]...)
	b.chunks[at.chunk] = n
	if len(n) > chunkSize {
		b.split(at.chunk)
	}
}

// split halves a chunk at an entry, if it holds more than one.
func (b *bucket) split(i int) {
	c := b.chunks[i]
	cut := entrySize(c)
	for cut < len(c)/2 {
		if next := cut + entrySize(c[cut:]); next < len(c) {
			cut = next
		} else {
			break
		}
	}
	if cut >= len(c) {
		return
	}
	left, right := bytes.Clone(c[:cut]), bytes.Clone(c[cut:])
	b.chunks = append(b.chunks, nil)
	copy(b.chunks[i+2:], b.chunks[i+1:])
	b.chunks[i], b.chunks[i+1] = left, right
}

func (b *bucket) remove(at place, size int) {
	c := b.chunks[at.chunk]
	c = append(c[:at.offset], c[at.offset+size:]...)
	b.chunks[at.chunk] = c
	if len(c) == 0 {
		b.chunks = append(b.chunks[:at.chunk], b.chunks[at.chunk+1:]...)
	}
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

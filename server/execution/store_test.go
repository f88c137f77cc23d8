package execution

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

var testCluster = crypto.ClusterID{1}

// sameBucket finds keys that all fall into one bucket.
var sameBucket = func() (keys [][]byte) {
	want := bucketOf([]byte("0"))
	for i := 0; len(keys) < 60; i++ {
		if k := []byte(fmt.Sprint(i)); bucketOf(k) == want {
			keys = append(keys, k)
		}
	}
	return keys
}()

// fill puts what a map holds in a random order.
func fill(rnd *rand.Rand, content map[string]string) *Store {
	s := NewStore(testCluster)
	keys := slices.Sorted(maps.Keys(content))
	rnd.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, k := range keys {
		s.Put([]byte(k), []byte(content[k]))
	}
	return s
}

// rootOf is the root of the present state.
func rootOf(s *Store) crypto.Digest {
	s.Checkpoint().Release()
	return s.Root()
}

func TestStoreIsAMap(t *testing.T) {
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		s, m := NewStore(testCluster), map[string]string{}
		key := func() []byte {
			if rnd.IntN(2) == 0 {
				return sameBucket[rnd.IntN(len(sameBucket))]
			}
			return []byte(fmt.Sprint("k", rnd.IntN(300)))
		}
		for step := range 3000 {
			k := key()
			switch rnd.IntN(4) {
			case 0:
				s.Delete(k)
				delete(m, string(k))
			case 1:
				if got, ok := s.Get(k); ok != (func() bool { _, ok := m[string(k)]; return ok })() || string(got) != m[string(k)] {
					t.Fatalf("seed %d, step %d: %q holds %q, want %q", seed, step, k, got, m[string(k)])
				}
			default:
				v := text(rnd.IntN(2*maxInline) * rnd.IntN(2))
				s.Put(k, []byte(v))
				m[string(k)] = v
			}
			if rnd.IntN(500) == 0 {
				if got, want := rootOf(s), s.Checkpoint().Root(); got != want {
					t.Fatalf("seed %d, step %d: root %s, from scratch %s", seed, step, got, want)
				}
			}
		}
		if got, want := rootOf(s), rootOf(fill(rnd, m)); got != want {
			t.Fatalf("seed %d: root %s, filled in another order %s", seed, got, want)
		}
		for k := range m {
			s.Delete([]byte(k))
		}
		if got := rootOf(s); !got.IsZero() {
			t.Fatalf("seed %d: root %s of nothing", seed, got)
		}
	}
}

func TestRootDependsOnEveryKeyAndValue(t *testing.T) {
	seen := map[crypto.Digest]string{}
	for _, content := range []map[string]string{
		{}, {"": ""}, {"a": ""}, {"": "a"}, {"a": "b"}, {"ab": ""}, {"a": "", "b": ""}, {"a": "b", "b": ""}, {"a": "", "b": "b"},
	} {
		root := rootOf(fill(rand.New(rand.NewPCG(1, 1)), content))
		if other, ok := seen[root]; ok {
			t.Errorf("%v and %s have one root", content, other)
		}
		seen[root] = fmt.Sprint(content)
	}
}

func TestChunksChangeNoDigest(t *testing.T) {
	// One bucket of several chunks: by insertion, and by deletion out of more.
	// Of a long value the entry has the digest.
	content := map[string]string{}
	for i, k := range sameBucket {
		content[string(k)] = text(maxInline + i%2)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	s := fill(rnd, content)
	at := bucketOf(sameBucket[0])
	if b := &s.buckets[at]; b.more == nil || len(b.more.parts) < 4 {
		t.Fatalf("%+v, the test wants several parts", b)
	}
	input := crypto.AppendU16(nil, uint16(at))
	for _, k := range slices.Sorted(maps.Keys(content)) {
		v := content[k]
		input = crypto.AppendString(input, k)
		if len(v) <= maxInline {
			input = crypto.AppendString(input, v)
			continue
		}
		d := testCluster.ValueDigest([]byte(v))
		input = append(crypto.AppendU32(input, uint32(len(v))), d[:]...)
	}
	rootOf(s)
	if got, want := s.tree.levels[treeLevels][at], testCluster.Hash(crypto.TagBucket, input); got != want {
		t.Fatalf("bucket digest %s, of its sorted entries %s", got, want)
	}
	for _, k := range sameBucket[8:] {
		s.Delete(k)
		delete(content, string(k))
	}
	if got, want := rootOf(s), rootOf(fill(rnd, content)); got != want {
		t.Fatalf("root %s, want %s", got, want)
	}
}

// count is how many values there are, and in how many slabs.
func (v *values) count() (live, slabs int) {
	for i := range v.slabs {
		if s := &v.slabs[i]; s.data != nil {
			live += s.live
			slabs++
		}
	}
	return live, slabs
}

// moment is a snapshot, and the root that its store had.
type moment struct {
	snapshot *Snapshot
	root     crypto.Digest
}

// check checks and releases the snapshot.
func (m *moment) check(t *testing.T) {
	t.Helper()
	if got := m.snapshot.Root(); got != m.root {
		t.Fatalf("snapshot: root %s, was %s", got, m.root)
	}
	m.snapshot.Release()
}

func TestSnapshotsAreUnaffectedByLaterWrites(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	s := NewStore(testCluster)
	var moments []moment
	model := contents{}
	for range 200 {
		for range 40 {
			k := sameBucket[rnd.IntN(len(sameBucket))]
			v := bytes.Repeat([]byte{byte(rnd.IntN(256))}, maxInline+rnd.IntN(2)*rnd.IntN(2*slotStep))
			if rnd.IntN(50) == 0 {
				v = append(v, make([]byte, slotStep*slotClasses)...) // too long to share a slab
			}
			switch rnd.IntN(3) {
			case 0:
				s.Delete(k)
				delete(model, string(k))
			default:
				s.Put(k, v)
				model[string(k)] = string(v)
			}
			if rnd.IntN(20) == 0 {
				s.Digest(1)
			}
		}
		moments = append(moments, moment{snapshot: s.Checkpoint()})
		moments[len(moments)-1].root = s.Root()
		for len(moments) > 4 { // in any order; their memory is used again
			gone := rnd.IntN(len(moments))
			moments[gone].check(t)
			moments = slices.Delete(moments, gone, gone+1)
		}
		model.check(t, s)
	}
	for _, m := range moments {
		m.check(t)
	}
	for _, k := range sameBucket {
		s.Delete(k)
	}
	if live, slabs := s.values.count(); live > 0 || slabs > slotClasses {
		t.Fatalf("%d long values are kept for nobody, in %d slabs", live, slabs)
	}
	if len(s.past.periods) > 0 {
		t.Fatalf("%d periods are kept for nobody", len(s.past.periods))
	}
}

// contents is what a store should hold.
type contents map[string]string

func (m contents) check(t *testing.T, s *Store) {
	t.Helper()
	for _, k := range sameBucket {
		got, ok := s.Get(k)
		if want, there := m[string(k)]; ok != there || string(got) != want {
			t.Fatalf("%q holds %.10q… (%d bytes, %v), want %.10q… (%d bytes, %v)", k, got, len(got), ok, want, len(want), there)
		}
	}
}

func TestPutTakesWhatGetGave(t *testing.T) {
	s := NewStore(testCluster)
	for i, k := range sameBucket {
		s.Put(k, []byte(fmt.Sprint("value ", i)))
	}
	for i := 1; i < len(sameBucket); i++ {
		v, _ := s.Get(sameBucket[i-1])
		want := string(v)
		s.Put(sameBucket[i], v)
		if got, _ := s.Get(sameBucket[i]); string(got) != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	v, _ := s.Get(sameBucket[5])
	if v = append(v, "more"...); len(v) == 0 {
		t.Fatal("empty")
	}
	snapshot := s.Checkpoint()
	if got, want := s.Root(), snapshot.Root(); got != want { // the append wrote elsewhere
		t.Fatalf("root %s, want %s", got, want)
	}
}

func TestBucketsAreBalanced(t *testing.T) {
	const perBucket = 8
	for _, format := range []string{"key%d", "%08d", "user/%d/name", "%x"} {
		count := make([]int, numBuckets)
		for i := range numBuckets * perBucket {
			count[bucketOf(fmt.Appendf(nil, format, i))]++
		}
		if most := slices.Max(count); most > 5*perBucket {
			t.Errorf("keys like %s: a bucket holds %d, the mean is %d", format, most, perBucket)
		}
	}
}

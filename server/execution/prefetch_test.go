package execution

import (
	"bytes"
	"testing"
)

func TestPrefetchChangesNothingAndKeepsNothing(t *testing.T) {
	s := NewStore(testCluster)
	keys := append([][]byte{nil, {}, []byte("absent"), bytes.Repeat([]byte("k"), 2000)}, sameBucket...)
	s.Prefetch(keys) // of an empty state
	for _, k := range sameBucket {
		s.Put(k, []byte(text(300)))
	}
	s.Put([]byte("gone"), nil)
	s.Delete([]byte("gone"))
	before := s.Root()
	s.Prefetch(append(keys, []byte("gone"))) // the bucket is there, and empty
	s.Prefetch(nil)
	if got := s.Snapshot().Root(testCluster); got != before {
		t.Errorf("root %s, was %s", got, before)
	}
	for _, b := range s.ahead[:cap(s.ahead)] {
		if b != nil {
			t.Fatal("a bucket is held on to")
		}
	}
}

package execution

import (
	"bytes"
	"testing"
)

func TestPrefetchChangesNothing(t *testing.T) {
	s := NewStore(testCluster)
	keys := append([][]byte{nil, {}, []byte("absent"), bytes.Repeat([]byte("k"), 2000)}, sameBucket...)
	s.Prefetch(keys) // of an empty state
	for _, k := range sameBucket {
		s.Put(k, []byte(text(300)))
	}
	s.Put([]byte("gone"), nil)
	s.Delete([]byte("gone"))
	before := s.Checkpoint().Root()
	s.Prefetch(append(keys, []byte("gone"))) // the bucket is there, and empty
	s.Prefetch(nil)
	if got := s.Checkpoint().Root(); got != before {
		t.Errorf("root %s, was %s", got, before)
	}
}

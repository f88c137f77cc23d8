package execution

import "testing"

func TestRecentKeepsTheNewerOfTwoResultsUnderOneNumber(t *testing.T) {
	// A client was evicted, came back, and used its number again.
	r := recent{limit: 2 * (resultOverhead + 10)}
	r.add("a", 1, 7, 10, []byte("before"))
	r.add("a", 1, 7, 20, []byte("behind"))
	r.add("b", 1, 7, 30, []byte("pushes"))
	if v, ok := r.find("a", 1, 7, 20); !ok || string(v) != "behind" {
		t.Errorf("got %q, %v", v, ok)
	}
	if r.bytes > r.limit || len(r.order)-r.head != 2 {
		t.Errorf("%d results of %d bytes held, the limit is %d", len(r.order)-r.head, r.bytes, r.limit)
	}
}

func TestRecentAnswersForOneExecutionOnly(t *testing.T) {
	r := recent{limit: resultOverhead + 10}
	r.add("a", 1, 7, 10, []byte("small"))
	r.add("a", 1, 7, 20, []byte("larger than all the room")) // not kept; the older one is another result
	for _, c := range []struct {
		client             string
		number, session, n uint64
		want               bool
	}{
		{"a", 1, 7, 10, true}, {"a", 1, 7, 20, false}, {"a", 1, 8, 10, false}, {"a", 2, 7, 10, false}, {"b", 1, 7, 10, false},
	} {
		if _, ok := r.find(c.client, c.number, c.session, c.n); ok != c.want {
			t.Errorf("%s %d, session %d, n %d: found %v, want %v", c.client, c.number, c.session, c.n, ok, c.want)
		}
	}
}

package kv

import (
	"bytes"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/server/statemachine"
)

// table is a state that a test can look into.
type table map[string]string

func (s table) Prefetch([][]byte) {}

func (s table) Get(key []byte) ([]byte, bool) {
	v, ok := s[string(key)]
	return []byte(v), ok
}

func (s table) Put(key, value []byte) { s[string(key)] = string(value) }
func (s table) Delete(key []byte)     { delete(s, string(key)) }

// apply runs commands as one batch.
func apply(t testing.TB, sm statemachine.StateMachine, st statemachine.State, commands ...string) []string {
	t.Helper()
	var b statemachine.Batch
	for _, c := range commands {
		b.Ops = append(b.Ops, statemachine.Op{Client: "c", Data: []byte(c)})
	}
	var r statemachine.Results
	sm.Apply(&b, st, &r)
	if r.Len() != len(commands) {
		t.Fatalf("%d results of %d commands", r.Len(), len(commands))
	}
	results := make([]string, r.Len())
	for i := range results {
		results[i] = string(r.Get(i))
	}
	return results
}

func TestCommands(t *testing.T) {
	st := table{}
	sm := New()
	for _, step := range []struct{ command, want string }{
		{"get k", "NOT_FOUND"},
		{"delete k", "NOT_FOUND"},
		{"cas k a b", "NOT_FOUND"},
		{"put k a", "OK"},
		{"get k", "a"},
		{"cas k b c", "MISMATCH a"},
		{"cas k a c", "OK"},
		{"get k", "c"},
		{"put k one two  three ", "OK"}, // the rest of the line
		{"get k", "one two  three "},
		{"cas k one x", "MISMATCH one two  three "},
		{"put k v", "OK"},
		{"cas k v new words", "OK"},
		{"get k", "new words"},
		{"put k ", "OK"}, // empty
		{"get k", ""},
		{"cas k  x", "OK"}, // OLD is empty
		{"get k", "x"},
		{"put k \x00\xff\n", "OK"},
		{"get k", "\x00\xff\n"},
		{"put \x00\xff bytes", "OK"},
		{"get \x00\xff", "bytes"},
		{"delete k", "OK"},
		{"get k", "NOT_FOUND"},
	} {
		if got := apply(t, sm, st, step.command)[0]; got != step.want {
			t.Errorf("%q: %q, want %q", step.command, got, step.want)
		}
	}
}

func TestACommandSeesThoseBeforeItInTheBatch(t *testing.T) {
	got := apply(t, New(), table{}, "put k a", "cas k a b", "get k", "delete k", "get k")
	if want := "OK OK b OK NOT_FOUND"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestMalformedCommandsSayWhatIsAllowedAndChangeNothing(t *testing.T) {
	long := strings.Repeat("k", MaxKey+1)
	for _, c := range []struct{ command, says string }{
		{"", "put K V, get K, delete K, cas K OLD NEW"},
		{"get", "get K"},
		{"get ", "get K"},
		{"put  v", "put K V"}, // the key is empty
		{"put k", "put K V"},
		{"get k ", "a key and nothing else"},
		{"get k v", "a key and nothing else"},
		{"delete k v", "a key and nothing else"},
		{"cas k", "cas K OLD NEW"},
		{"cas k old", "cas K OLD NEW"},
		{"PUT k v", "unknown command: put K V, get K, delete K, cas K OLD NEW"},
		{"append k v", "unknown command: put K V, get K, delete K, cas K OLD NEW"},
		{"put\tk v", "unknown command"},
		{"put " + long + " v", "the key has 1025 bytes, the most allowed is 1024"},
		{"get " + long, "the key has 1025 bytes, the most allowed is 1024"},
		{"\xff\xfe \x00", "unknown command"},
	} {
		st := table{"k": "old"}
		got := apply(t, New(), st, c.command)[0]
		if !strings.HasPrefix(got, "ERROR ") || !strings.Contains(got, c.says) {
			t.Errorf("%.40q: %q, want ERROR with %q", c.command, got, c.says)
		}
		if !maps.Equal(st, table{"k": "old"}) {
			t.Errorf("%.40q changed the state", c.command)
		}
	}
}

func TestTheLongestKeyIsAllowed(t *testing.T) {
	key := strings.Repeat("k", MaxKey)
	if got := apply(t, New(), table{}, "put "+key+" v", "get "+key); got[1] != "v" {
		t.Errorf("got %q", got)
	}
}

func TestABatchCannotAskForMoreThanMaxResults(t *testing.T) {
	const size = 1 << 20
	st := table{"k": strings.Repeat("v", size)}
	commands := make([]string, 2*MaxResults/size)
	for i := range commands {
		commands[i] = []string{"get k", "cas k a b"}[i%2]
	}
	commands = append(commands, "put k small", "get absent")
	got := apply(t, New(), st, commands...)
	total := 0
	for _, r := range got {
		total += len(r)
	}
	if total < MaxResults || total > MaxResults+size+200*len(commands) {
		t.Errorf("%d bytes of results, want about %d", total, MaxResults)
	}
	if last := got[len(commands)-3]; !strings.HasPrefix(last, "ERROR ") || !strings.Contains(last, "ask again") {
		t.Errorf("%.80q, want ERROR with what to do", last)
	}
	if st["k"] != "small" || got[len(commands)-1] != "NOT_FOUND" {
		t.Error("what gives no value is not refused")
	}
	if got := apply(t, New(), st, "get k")[0]; got != "small" { // the next batch has room again
		t.Errorf("%.80q", got)
	}
}

// FuzzApply runs two commands of any bytes: one result each, nothing but the
// key that they name changed, and the same on every run.
func FuzzApply(f *testing.F) {
	for _, s := range []string{"", "put k v", "get k", "delete k", "cas k v w", "cas k  ", "  ", "put k \x00", "get \xff", "put"} {
		f.Add([]byte(s), []byte("get k"))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		a, b := table{"other": "x"}, table{"other": "x"}
		got := apply(t, New(), a, string(first), string(second))
		again := append(apply(t, New(), b, string(first)), apply(t, New(), b, string(second))...)
		for i, command := range [][]byte{first, second} {
			if got[i] != again[i] {
				t.Fatalf("%q: %q in one batch, %q alone", command, got[i], again[i])
			}
		}
		if !maps.Equal(a, b) {
			t.Fatalf("states differ: %s and %s", strconv.Quote(a["k"]), strconv.Quote(b["k"]))
		}
		if a["other"] != "x" && !bytes.Contains(first, []byte(" other")) && !bytes.Contains(second, []byte(" other")) {
			t.Fatal("another key was changed")
		}
		for key := range a {
			if len(key) == 0 || len(key) > MaxKey || strings.Contains(key, " ") {
				t.Fatalf("key %.40q of %d bytes", key, len(key))
			}
		}
	})
}

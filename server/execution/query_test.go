package execution

import (
	"testing"

	"github.com/pbft-go/pbft/server/statemachine/kv"
)

func TestTheSnapshotsOfTheNewestTwoCheckpointsAreKept(t *testing.T) {
	l := newLab(t, kv.New(), nil)
	for n := range uint64(9) {
		x := l.next(group(t, "a", 1, op{n, "put k v" + text(int(n))}))
		x.Checkpoint = x.N%3 == 0
		l.Execute(x)
	}
	for n := range uint64(12) {
		s := l.Snapshot(n)
		if kept := n == 6 || n == 9; kept != (s != nil) {
			t.Errorf("snapshot at %d kept: %v, want %v", n, s != nil, kept)
			continue
		}
		if s == nil {
			continue
		}
		if got, want := s.Root(), l.CheckpointState(n).AppRoot; got != want {
			t.Errorf("snapshot at %d has root %s, the checkpoint %s", n, got, want)
		}
	}
	if l.Snapshot(6).Root() == l.Snapshot(9).Root() {
		t.Error("the older snapshot shows later writes")
	}
}

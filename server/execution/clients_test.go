package execution

import (
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

func TestANumberUsedUpByAnotherKindEntersTheRoot(t *testing.T) {
	often, once := newLab(t, &echo{}, nil), newLab(t, &echo{}, nil)
	var a, b *Output
	for i, k := range []crypto.Kind{crypto.KindOperation, crypto.KindRead} {
		g := crypto.Group{Client: "a", Session: 1, Requests: []crypto.Request{{Number: uint64(i), Kind: k, Op: []byte("x")}}}
		a = often.exec(view(t, &g)) // its page was digested before
		x := once.next(view(t, &g))
		x.Checkpoint = i == 1
		b = once.Execute(x)
	}
	if *a.State != *b.State {
		t.Errorf("state %+v, digested at once %+v", a.State, b.State)
	}
}

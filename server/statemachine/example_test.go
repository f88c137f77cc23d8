package statemachine_test

import (
	"context"
	"encoding/binary"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/replica"
	"github.com/pbft-go/pbft/server/statemachine"
)

// Lease grants a name to the first client that asks for it, for ten seconds.
type Lease struct{}

const termUS = 10_000_000

// Apply executes one agreed batch.
func (Lease) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	for _, op := range b.Ops {
		name := op.Data
		if len(name) == 0 || len(name) > 256 {
			r.AddString("ERROR a name has 1 to 256 bytes")
			continue
		}
		if v, ok := st.Get(name); ok {
			end, holder := int64(binary.BigEndian.Uint64(v)), string(v[8:])
			if holder != op.Client && b.TimeUS < end {
				r.AddString("HELD by " + holder)
				continue
			}
		}
		v := binary.BigEndian.AppendUint64(nil, uint64(b.TimeUS+termUS))
		st.Put(name, append(v, op.Client...))
		r.AddString("GRANTED")
	}
}

func serve(file string, index int) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	r, err := replica.New(replica.Options{Config: cfg, Index: index, StateMachine: Lease{}})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return r.Run(ctx)
}

func TestTheDocumentShowsThisCode(t *testing.T) {
	document, err := os.ReadFile("../../docs/application.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(document), "```")
	shown := 0
	for i := 1; i < len(blocks); i += 2 {
		code, isGo := strings.CutPrefix(blocks[i], "go\n")
		if !isGo {
			continue
		}
		shown++
		if !strings.Contains(string(source), "\n\n"+code) {
			t.Errorf("docs/application.md shows code that example_test.go does not hold:\n%s", code)
		}
		if lines := strings.Count(code, "\n"); lines > 30 {
			t.Errorf("docs/application.md shows %d lines at once, want at most 30", lines)
		}
	}
	if shown != 2 {
		t.Errorf("docs/application.md shows %d pieces of Go, want the application and the program", shown)
	}
}

func TestLease(t *testing.T) {
	st := execution.NewStore(crypto.ClusterID{})
	ask := func(timeUS int64, client, name string) string {
		t.Helper()
		var r statemachine.Results
		b := statemachine.Batch{TimeUS: timeUS, Ops: []statemachine.Op{{Client: client, Data: []byte(name)}}}
		Lease{}.Apply(&b, st, &r)
		if r.Len() != 1 {
			t.Fatalf("%d results of one operation", r.Len())
		}
		return string(r.Get(0))
	}
	for _, step := range []struct {
		timeUS             int64
		client, name, want string
	}{
		{1, "anna", "printer", "GRANTED"},
		{2, "bert", "printer", "HELD by anna"},
		{2, "bert", "door", "GRANTED"},
		{3, "anna", "printer", "GRANTED"}, // again: longer
		{termUS + 2, "bert", "printer", "HELD by anna"},
		{termUS + 3, "bert", "printer", "GRANTED"},
		{termUS + 4, "anna", "printer", "HELD by bert"},
		{1, "anna", "", "ERROR a name has 1 to 256 bytes"},
		{1, "anna", strings.Repeat("n", 257), "ERROR a name has 1 to 256 bytes"},
	} {
		if got := ask(step.timeUS, step.client, step.name); got != step.want {
			t.Errorf("%s asks for %.10q at %d: %q, want %q", step.client, step.name, step.timeUS, got, step.want)
		}
	}
}

func TestServeNamesTheFileItCannotRead(t *testing.T) {
	if err := serve("no such file.yaml", 0); err == nil || !strings.Contains(err.Error(), "no such file.yaml") {
		t.Errorf("got %v", err)
	}
}

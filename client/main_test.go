package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pbft-go/pbft/client/pbftclient"
)

const sample = "../pbft.yaml"

// testbed is a program that nobody types at.
type testbed struct {
	program
	stdout, stderr bytes.Buffer
}

func newTestbed(stdin string) *testbed {
	b := &testbed{}
	b.program = program{stdin: strings.NewReader(stdin), stdout: &b.stdout, stderr: &b.stderr, listen: net.Listen}
	return b
}

// want runs a command line and demands its exit code.
func (b *testbed) want(t *testing.T, code int, args ...string) {
	t.Helper()
	if got := b.main(args); got != code {
		t.Fatalf("%q: exit code %d, want %d\nstdout: %s\nstderr: %s", args, got, code, &b.stdout, &b.stderr)
	}
}

func TestOldFlagsAreRewrittenBeforeParsing(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{}},
		{[]string{"-id", "0", "-nm", "5"}, []string{"--client_id", "0", "--num_messages", "5"}},
		{[]string{"-id=0", "-nm=5", "-c", "x"}, []string{"--client_id=0", "--num_messages=5", "-c", "x"}},
		{[]string{"submit", "--", "-id"}, []string{"submit", "--", "-id"}},
		{[]string{"submit", "-idle"}, []string{"submit", "-idle"}},
	} {
		if got := rewriteArgs(tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%q becomes %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestWrongCommandLinesSayWhatIsAllowed(t *testing.T) {
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	lonely := filepath.Join(t.TempDir(), "lonely.yaml")
	if err := os.WriteFile(lonely, []byte("nodes: [{host: localhost, port: 1}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "clients:") {
		t.Fatal("the sample has no clients")
	}
	four := "a:1,b:1,c:1,d:1"
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "which client? Give -id ID"},
		{"-c " + sample, "which client? Give -id ID"},
		{"frobnicate", `unknown command "frobnicate"`},
		{"-id 2 -c " + sample, "client index 2 is out of range: ../pbft.yaml has clients 0 to 1"},
		{"-id -1 -c " + sample, "client index -1 is out of range"},
		{"-id 0 -c " + lonely, "client index 0 is out of range: " + lonely + " has no clients"},
		{"-id x", `invalid argument "x" for "--client_id"`},
		{"-id 0 -nm -5 -c " + sample, "-nm is -5, allowed are 0 and more"},
		{"-id 0 -c missing.yaml", "missing.yaml"},
		{"-id 0 --frob", "unknown flag: --frob"},
		{"submit a b", "submit takes one operation, quoted if it has spaces, not 2 arguments"},
		{"submit --timeout 0 x", "--timeout is 0s, allowed is more than 0"},
		{"submit --number 9007199254740992 x", "--number: 9007199254740992 is too large, allowed are 0 to 9007199254740991"},
		{"submit --client " + strings.Repeat("x", 65) + " x", "--client: client id of 65 bytes, allowed are 1 to 64"},
		{"submit --replicas a:1,b:1,c:1 x", "--replicas names 3 addresses, allowed are 1 and 4 to 64"},
		{"submit --replicas a:1,b:1,c:1,d x", `--replicas: address 3 is "d", allowed is HOST:PORT`},
		{"submit --replicas a:1,b:1,c:1,d:70000 x", `--replicas: address 3 is "d:70000"`},
		{"submit --replicas a:1,b:1,c:1,a:1 x", "--replicas: a:1 stands for replica 0 and for replica 3"},
		{"submit --replicas " + four + " -c " + lonely + " x", "--replicas names 4 addresses, " + lonely + " has 1 nodes"},
		{"outcome a", "outcome takes a client id and a number, not 1 arguments"},
		{"outcome a -c " + sample + " x", `number "x": allowed are 0 to 9007199254740991`},
		{"status now", "status takes no argument, not 1 arguments"},
		{"dump -c " + sample + " --replica 4", "--replica is 4, there are replicas 0 to 3"},
		{"bench --workload put", `--workload is "put", allowed are kv-put, kv-mixed, log, 0/0, 4/0 and 0/4`},
		{"bench --outstanding 10 --clients 11", "--clients is 11, allowed are 1 to 10"},
		{"bench --clients 2 --connections 3", "--connections is 3, allowed are 1 to 2"},
		{"bench --workload kv-put --size 10", "--size is 10, allowed are 11 to"},
		{"bench --rate -1", "--rate is -1, allowed are 0 to"},
		{"bench --rate NaN", "--rate is NaN"},
		{"bench --duration 0s", "--duration is 0s, allowed is more than 0"},
		{"bench --json " + filepath.Join(lonely, "x") + " -c " + sample, "--json: open"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			b := newTestbed("")
			b.want(t, exitUsage, strings.Fields(tt.args)...)
			if !strings.Contains(b.stderr.String(), tt.want) || b.stdout.Len() > 0 {
				t.Errorf("stdout %q, stderr %q, want %q", &b.stdout, &b.stderr, tt.want)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	b := newTestbed("")
	b.want(t, exitOK, "--version")
	if !strings.HasPrefix(b.stdout.String(), "pbft client") || strings.Count(b.stdout.String(), "\n") != 1 {
		t.Errorf("version is %q", &b.stdout)
	}
	b.want(t, exitOK, "--help")
	for _, want := range []string{"-id", "-nm", "submit", "outcome", "status", "dump", "bench", "130  SIGINT"} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, &b.stdout)
		}
	}
}

func TestEveryErrorHasItsExitCode(t *testing.T) {
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(signalled{syscall.SIGINT})
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{t.Context(), nil, 0},
		{t.Context(), io.ErrUnexpectedEOF, 1},
		{t.Context(), misused{io.EOF}, 2},
		{t.Context(), badConfig{io.EOF}, 2},
		{t.Context(), fmt.Errorf("x: %w", &pbftclient.RefusedError{}), 3},
		{t.Context(), fmt.Errorf("x: %w", pbftclient.ErrOutcomeUnknown), 4},
		{t.Context(), fmt.Errorf("x: %w", pbftclient.ErrExpired), 5},
		{t.Context(), fmt.Errorf("x: %w", pbftclient.ErrNumberReused), 6},
		{t.Context(), coded{io.EOF, exitNotExecuted}, 7},
		{interrupted, pbftclient.ErrOutcomeUnknown, 130},
		{interrupted, nil, 0},
	} {
		if got := exitCode(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.err, got, tt.want)
		}
	}
	if !errors.Is(misused{io.EOF}, io.EOF) {
		t.Error("the cause is lost")
	}
}

// endless is a standard input that nobody types at.
type endless struct{ closed chan struct{} }

func (e endless) Read([]byte) (int, error) {
	<-e.closed
	return 0, io.EOF
}

func TestSubmitStopsWhileItWaitsForInput(t *testing.T) {
	e := endless{make(chan struct{})}
	defer close(e.closed)
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGINT
	b := newTestbed("")
	b.stdin, b.signals = e, signals
	b.want(t, 130, "submit", "-c", sample)
}

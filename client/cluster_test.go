package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/server/replica/replicatest"
)

// running is a cluster of four real replicas, and a file that describes it.
type running struct {
	*replicatest.Cluster
	file    string
	replies net.Listener // of client 0
}

func startCluster(t *testing.T, extra string) *running {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	r := &running{Cluster: replicatest.Start(t, 4, extra), replies: ln, file: filepath.Join(t.TempDir(), "pbft.yaml")}
	cfg := *r.Config
	cfg.Clients = []config.Endpoint{{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port}}
	text, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// want runs a command line and gives its standard output.
func (r *running) want(t *testing.T, code int, args ...string) string {
	t.Helper()
	b := newTestbed("from stdin\n")
	b.listen = func(string, string) (net.Listener, error) { return r.replies, nil }
	b.want(t, code, append(args, "-c", r.file)...)
	return b.stdout.String() + b.stderr.String()
}

// bench runs a benchmark and gives its standard output. It measures for as
// long as this machine needs to answer a request at every point.
func (r *running) bench(t *testing.T, args ...string) string {
	t.Helper()
	for d := 100 * time.Millisecond; ; d *= 2 {
		b := newTestbed("")
		all := append([]string{"bench", "-c", r.file, "--warmup", "50ms", "--duration", d.String()}, args...)
		switch code := b.main(all); {
		case code == exitOK:
			return b.stdout.String()
		case code != exitFailed || !strings.Contains(b.stderr.String(), "no request was answered") || d > time.Minute:
			t.Fatalf("%q: exit code %d\nstdout: %s\nstderr: %s", all, code, &b.stdout, &b.stderr)
		}
	}
}

func TestMessagesOfTheProofOfConcept(t *testing.T) {
	r := startCluster(t, "")
	out := r.want(t, exitOK, "-id", "0", "-nm", "5")
	var want, dump []string
	for i := range 5 {
		want = append(want, fmt.Sprintf("client 0: message %d sent successfully", i))
		dump = append(dump, fmt.Sprintf(`[[0, %d], "%d"]`, i, i))
	}
	if out != strings.Join(want, "\n")+"\n" {
		t.Errorf("output:\n%s", out)
	}
	// Two replicas have executed all of it; the next command asks until the
	// one that it chose has, too.
	for i, found := 0, false; !found; i = (i + 1) % 4 {
		found = r.want(t, exitOK, "dump", "--replica", fmt.Sprint(i)) == "["+strings.Join(dump, ", ")+"]\n"
	}
	// A second run goes on from there.
	r.replies = reopen(t, r.replies)
	if out := r.want(t, exitOK, "-id", "0", "-nm", "1"); out != "client 0: message 5 sent successfully\n" {
		t.Errorf("second run:\n%s", out)
	}
}

// reopen listens where a closed listener did.
func reopen(t *testing.T, old net.Listener) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func TestSubmitOutcomeAndStatus(t *testing.T) {
	r := startCluster(t, "")
	if out := r.want(t, exitOK, "submit", "hello"); out != "0\n" {
		t.Errorf("result %q, want the position in the log", out)
	}
	if out := r.want(t, exitOK, "submit", "--client", "me", "--number", "7", "-"); out != "1\n" {
		t.Errorf("result %q", out)
	}
	if out := r.want(t, exitReused, "submit", "--client", "me", "--number", "7", "other"); !strings.Contains(out, "used by another request") {
		t.Errorf("output %q", out)
	}
	if out := r.want(t, exitOK, "submit", "--client", "me", "--number", "9000", "x"); out != "2\n" {
		t.Errorf("result %q", out)
	}
	if out := r.want(t, exitExpired, "submit", "--client", "me", "--number", "6", "x"); !strings.Contains(out, "expired") {
		t.Errorf("output %q", out)
	}
	if out := r.want(t, exitOK, "outcome", "me", "9000"); !strings.HasPrefix(out, "status: OK\nn: ") || !strings.HasSuffix(out, "\nresult: 2\n") {
		t.Errorf("outcome %q", out)
	}
	if out := r.want(t, exitNotExecuted, "outcome", "me", "8999"); !strings.HasPrefix(out, "status: NOT_EXECUTED\n") {
		t.Errorf("outcome %q", out)
	}
	if out := r.want(t, exitRefused, "submit", strings.Repeat("x", 2<<20)); !strings.Contains(out, "2097152 bytes") {
		t.Errorf("output %.200q", out)
	}
	table := r.want(t, exitOK, "status")
	if strings.Count(table, "normal") != 4 || strings.Count(table, "3/3") != 4 {
		t.Errorf("status:\n%s", table)
	}
	lines := strings.Split(strings.TrimSpace(r.want(t, exitOK, "status", "--json")), "\n")
	for i, line := range lines {
		var said struct {
			Index  int
			Status struct{ Replicas, Quorum int }
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Index != i || said.Status.Replicas != 4 || said.Status.Quorum != 3 {
			t.Errorf("line %s: %v", line, err)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines of JSON", len(lines))
	}
}

func TestDeadReplicasAreShown(t *testing.T) {
	r := startCluster(t, "")
	r.StopReplica(0)
	if out := r.want(t, exitOK, "status"); strings.Count(out, "unreachable") != 1 {
		t.Errorf("status:\n%s", out)
	}
	if out := r.want(t, exitOK, "dump"); out != "[]\n" { // of replica 1
		t.Errorf("dump %q", out)
	}
	if out := r.want(t, exitFailed, "dump", "--replica", "0"); !strings.Contains(out, "replica 0 at "+r.Addr(0)) {
		t.Errorf("dump of a dead replica: %q", out)
	}
	r.StopReplica(1)
	if out := r.want(t, exitUnknown, "submit", "--client", "me", "--number", "3", "--timeout", "200ms", "x"); !strings.Contains(out, `"client outcome me 3"`) {
		t.Errorf("output %q", out)
	}
	if out := r.want(t, exitFailed, "status"); !strings.Contains(out, "2 of 4 replicas answered, a quorum is 3") {
		t.Errorf("status:\n%s", out)
	}
}

func TestBenchMeasures(t *testing.T) {
	r := startCluster(t, "state_machine: kv\n")
	for _, args := range []string{
		"--workload kv-put --outstanding 64",
		"--workload kv-mixed --outstanding 8 --clients 4 --connections 2",
		"--workload kv-put --rate 500",
	} {
		file := filepath.Join(t.TempDir(), "figures.json")
		all := append([]string{"bench", "--json", file, "--duration", "300ms", "--warmup", "100ms", "--keys", "50"}, strings.Fields(args)...)
		if out := r.want(t, exitOK, all...); !strings.Contains(out, "throughput") {
			t.Errorf("%s prints\n%s", args, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f report
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		l := f.Latency
		if f.Requests == 0 || f.Errors != 0 || f.Throughput <= 0 || f.CPU.Total <= 0 || f.PeakMemory == 0 || f.Answered != 4 ||
			l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			t.Errorf("%s gives\n%s", args, text)
		}
	}
}

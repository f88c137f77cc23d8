package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// asServer makes this test binary behave as the server program.
const asServer = "PBFT_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// processes are four replicas, each a process of its own.
type processes struct {
	t     *testing.T
	dir   string
	ports []int
	cmds  []*exec.Cmd
}

func newProcesses(t *testing.T, more string) *processes {
	p := &processes{t: t, dir: t.TempDir(), cmds: make([]*exec.Cmd, 4)}
	var b strings.Builder
	b.WriteString("nodes:\n")
	var held []net.Listener
	for range 4 {
		var ports [2]int
		for k := range ports {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, ln)
			ports[k] = ln.Addr().(*net.TCPAddr).Port
		}
		p.ports = append(p.ports, ports[0])
		fmt.Fprintf(&b, "  - {host: 127.0.0.1, port: %d, peer_port: %d}\n", ports[0], ports[1])
	}
	for _, ln := range held {
		_ = ln.Close()
	}
	if err := os.WriteFile(filepath.Join(p.dir, "pbft.yaml"), []byte(b.String()+more), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for i := range p.cmds {
			p.kill(i)
		}
	})
	for i := range 4 {
		p.start(i)
	}
	return p
}

func (p *processes) start(i int) {
	cmd := exec.CommandContext(p.t.Context(), os.Args[0], "-i", fmt.Sprint(i), "--log-level", "warn")
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), asServer+"=1")
	cmd.Stderr = &lines{t: p.t, name: fmt.Sprint("replica ", i, ": ")}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmds[i] = cmd
}

// kill ends a replica as a loss of power does, and waits for its end.
func (p *processes) kill(i int) {
	if p.cmds[i] != nil {
		_ = p.cmds[i].Process.Kill()
		_ = p.cmds[i].Wait()
		p.cmds[i] = nil
	}
}

// order orders a request at replica i, which may have to be asked again while the
// cluster comes up. It returns the number of its batch.
func (p *processes) order(i, number int, data string) uint64 {
	p.t.Helper()
	body := fmt.Sprintf(`{"id":[7,%d],"data":%q}`, number, data)
	for range 3000 { // the server makes each one wait
		r, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/request", p.ports[i]), "application/json", strings.NewReader(body))
		if err != nil {
			p.awaitReady(i) // it did not listen yet
			continue
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		var answer struct {
			Status string
			Seq    uint64
		}
		if r.StatusCode == http.StatusOK && json.Unmarshal(text, &answer) == nil {
			return answer.Seq
		}
		if r.StatusCode < 500 && r.StatusCode != http.StatusTooManyRequests {
			p.t.Fatalf("%s: %d %s", body, r.StatusCode, text)
		}
		p.awaitReady(i)
	}
	p.t.Fatalf("request %d is not answered", number)
	return 0
}

// awaitReady waits until a replica takes part, by its health service.
func (p *processes) awaitReady(i int) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	conn, err := grpc.NewClient(fmt.Sprint("127.0.0.1:", p.ports[i]), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond}}))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	w, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	for err == nil {
		var r *healthv1.HealthCheckResponse
		if r, err = w.Recv(); err == nil && r.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
	}
	p.t.Fatalf("replica %d does not become ready: %v", i, err)
}

// lines sends the log of a process to the test's.
type lines struct {
	t    *testing.T
	name string
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		l.t.Log(l.name + string(bytes.TrimRight(line, "\n")))
	}
	return len(b), nil
}

const rounds, perRound = 5, 8 // of killing, and requests in each

// TestKilledAllAtOnceNothingIsForgotten kills replicas without warning, all four
// included, between acknowledged requests, and demands each of them, once, in the
// same order everywhere.
func TestKilledAllAtOnceNothingIsForgotten(t *testing.T) {
	p := newProcesses(t, "ckpt_interval: 4\nview_change_timeout: 1\nsync_interval: 0.1\n")
	rng := rand.New(rand.NewPCG(8, 8))
	number := 0
	for round := range rounds {
		for range perRound {
			p.order(rng.IntN(4), number, fmt.Sprint("op ", number))
			number++
		}
		for i := range 4 {
			if round%2 == 0 || rng.IntN(2) == 0 {
				p.kill(i)
			}
		}
		for i := range 4 {
			if p.cmds[i] == nil {
				p.start(i)
			}
		}
	}
	p.order(0, number, "the last one")
	for i := range 4 {
		p.awaitReady(i)
		p.order(i, number, "the last one") // answered once more: this replica has it
	}
	for i := range 4 {
		p.kill(i)
	}
	var dumps []string
	for i := range 4 {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), os.Args[0], "check", filepath.Join(p.dir, "data", fmt.Sprint(i)))
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), asServer+"=1"), &out, &out
		if err := cmd.Run(); err != nil {
			t.Errorf("check of replica %d: %v\n%s", i, err, out.String())
		}
		t.Log(out.String())
	}
	for i := range 4 {
		p.start(i)
	}
	for i := range 4 {
		p.awaitReady(i)
		dumps = append(dumps, p.settled(i))
	}
	for i := range dumps {
		if dumps[i] != dumps[0] {
			t.Errorf("replica %d holds %s, replica 0 %s", i, dumps[i], dumps[0])
		}
	}
	for k := range number {
		if n := strings.Count(dumps[0], fmt.Sprintf("[7,%d]", k)); n != 1 {
			t.Errorf("request %d is in the history %d times", k, n)
		}
	}
}

// settled is the dump of a replica once it holds the last request.
func (p *processes) settled(i int) (dump string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if dump = p.dump(i); strings.Contains(dump, fmt.Sprintf("[7,%d]", rounds*perRound)) {
			return dump
		}
	}
	p.t.Fatalf("replica %d does not execute the last request: %s", i, dump)
	return dump
}

// dump lists the executed requests of a replica.
func (p *processes) dump(i int) string {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v1/dump", p.ports[i]))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Body.Close()
	var d struct {
		Entries []struct {
			Client string
			Number json.Number
			N      json.Number
		}
		Next json.Number
	}
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil || d.Next != "" && d.Next != "0" {
		p.t.Fatalf("dump of replica %d: %v, next %s", i, err, d.Next)
	}
	var b strings.Builder
	for _, e := range d.Entries {
		fmt.Fprintf(&b, "%s:[%s,%s] ", e.N, e.Client, e.Number)
	}
	return b.String()
}

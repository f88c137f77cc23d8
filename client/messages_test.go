package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pbft-go/pbft/config"
)

// replicas are four HTTP servers that stand for replicas, and the messenger
// that talks to them.
type replicas struct {
	*messenger
	testbed *testbed

	mu       sync.Mutex
	log      []string // what they were sent
	times    map[float64]bool
	contents []orderRequest
}

// newReplicas lets answer write what replica i answers to POST /request.
func newReplicas(t *testing.T, timeout time.Duration, answer func(r *replicas, i int, w http.ResponseWriter)) *replicas {
	r := &replicas{testbed: newTestbed(""), times: map[float64]bool{}}
	c := &cluster{cfg: &config.Config{NetworkTimeout: timeout, RetryTimesBeforeViewChange: 2}}
	for i := range 4 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.log = append(r.log, fmt.Sprintf("%d%s", i, q.URL.Path))
			if q.URL.Path == "/request" {
				var o orderRequest
				if err := json.NewDecoder(q.Body).Decode(&o); err != nil {
					t.Errorf("body: %v", err)
				}
				r.contents = append(r.contents, o)
				r.times[o.Timestamp] = true
				answer(r, i, w)
			}
		}))
		t.Cleanup(s.Close)
		c.addrs = append(c.addrs, s.Listener.Addr().String())
	}
	r.messenger = &messenger{
		p: &r.testbed.program, c: c, client: "0", url: "http://localhost:1/reply", tally: newTally(4, 1, 0),
	}
	return r
}

// reply lets two replicas reply to number 3.
func (r *replicas) reply(t *testing.T, more string) {
	for i := range 2 {
		said, err := parseReply([]byte(replyBody(i, more)))
		if err != nil {
			t.Error(err)
			return
		}
		r.tally.add(said)
	}
}

func TestASilentReplicaIsLeftAfterRetries(t *testing.T) {
	r := newReplicas(t, 20*time.Millisecond, func(r *replicas, i int, _ http.ResponseWriter) {
		if i == 1 {
			r.reply(t, "")
		}
	})
	if err := r.sendOne(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	const change = "/view_change_request"
	want := "0/request 0/request 0" + change + " 1" + change + " 2" + change + " 3" + change + " 1/request"
	if got := strings.Join(r.log, " "); got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if len(r.times) != 3 {
		t.Errorf("%d tries have %d timestamps", len(r.contents), len(r.times))
	}
	if o := r.contents[0]; o.ID != [2]uint64{0, 3} || o.Data != "3" || o.ClientURL != r.url {
		t.Errorf("request %+v", o)
	}
	text := r.testbed.stderr.String()
	if strings.Count(text, "client 0: message 3 sent fail") != 2 || !strings.HasSuffix(text, "client 0: message 3 sent successfully\n") {
		t.Errorf("log:\n%s", text)
	}
}

func TestRepliesToAnEarlierTryCount(t *testing.T) {
	r := newReplicas(t, time.Minute, func(r *replicas, _ int, w http.ResponseWriter) {
		r.reply(t, "") // although the POST fails
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if err := r.sendOne(t.Context(), 3); err != nil || len(r.contents) != 1 {
		t.Errorf("%d requests, %v", len(r.contents), err)
	}
}

func TestMessageRefusedForGoodByTwoReplicasEnds(t *testing.T) {
	for code, exit := range map[int]int{400: exitRefused, 409: exitReused, 410: exitExpired} {
		r := newReplicas(t, time.Minute, func(_ *replicas, _ int, w http.ResponseWriter) {
			w.WriteHeader(code)
			fmt.Fprint(w, `{"code":"X","message":"because"}`)
		})
		err := r.sendOne(t.Context(), 3)
		if exitCode(t.Context(), err) != exit || !strings.Contains(err.Error(), "because") {
			t.Errorf("status %d: error %v, want exit code %d", code, err, exit)
		}
		for i := range 2 {
			if !strings.Contains(strings.Join(r.log, " "), fmt.Sprintf("%d/request", i)) {
				t.Errorf("status %d: replica %d was not asked: %v", code, i, r.log)
			}
		}
	}
}

func TestOutcomesThatAreNoExecutionAreErrors(t *testing.T) {
	for status, exit := range map[string]int{"OK": exitOK, "EXPIRED": exitExpired, "REJECTED": exitReused} {
		r := newReplicas(t, time.Minute, func(r *replicas, _ int, _ http.ResponseWriter) {
			r.reply(t, `, "status": "`+status+`"`)
		})
		if err := r.sendOne(t.Context(), 3); exitCode(t.Context(), err) != exit {
			t.Errorf("%s: error %v, want exit code %d", status, err, exit)
		}
	}
}

// onWrite calls f at the first write.
type onWrite struct {
	once sync.Once
	f    func()
}

func (o *onWrite) Write(b []byte) (int, error) {
	o.once.Do(o.f)
	return len(b), nil
}

func TestInterruptEndsWhateverIsWaitedFor(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close() // nobody answers there
	file := filepath.Join(t.TempDir(), "pbft.yaml")
	text := fmt.Sprintf("nodes: [{host: 127.0.0.1, port: %d, peer_port: 1}]\nclients: [{host: 127.0.0.1, port: %d}]\n",
		gone.Addr().(*net.TCPAddr).Port, ln.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	b := newTestbed("")
	b.signals = signals
	b.program.stderr = &onWrite{f: func() { signals <- syscall.SIGINT }}
	b.listen = func(string, string) (net.Listener, error) { return ln, nil }
	b.want(t, 130, "-c", file, "-id", "0", "-nm", "5")
}

func TestPortInUseIsNamed(t *testing.T) {
	b := newTestbed("")
	b.listen = func(_, addr string) (net.Listener, error) { return nil, errors.New("listen tcp " + addr + ": in use") }
	b.want(t, exitFailed, "-c", sample, "-id", "1")
	if !strings.Contains(b.stderr.String(), "localhost:20002: in use (is this client running already?") {
		t.Errorf("stderr %q", &b.stderr)
	}
}

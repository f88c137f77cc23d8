package replica_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbft-go/pbft/config"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/replica"
	"github.com/pbft-go/pbft/server/replica/replicatest"
)

// listener is a program of the proof of concept's kind: it takes /reply POSTs
// and counts, per request, the replicas that sent one.
type listener struct {
	url     string
	mu      sync.Mutex
	replies map[string]map[int]int // by id and data, by index
	bell    chan struct{}
}

func newListener(t *testing.T) *listener {
	l := &listener{replies: map[string]map[int]int{}, bell: make(chan struct{}, 1)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.url = "http://" + ln.Addr().String() + "/reply"
	s := &http.Server{Handler: http.HandlerFunc(l.serve)} //nolint:gosec // a test's server needs no timeouts
	go s.Serve(ln)                                        //nolint:errcheck // ends with the test
	t.Cleanup(func() { _ = s.Close() })
	return l
}

func (l *listener) serve(_ http.ResponseWriter, r *http.Request) {
	var m struct {
		Index    int    `json:"index"`
		Type     string `json:"type"`
		Proposal struct {
			ID        [2]uint64 `json:"id"`
			ClientURL string    `json:"client_url"`
			Timestamp float64   `json:"timestamp"`
			Data      string    `json:"data"`
		} `json:"proposal"`
	}
	b, _ := io.ReadAll(r.Body)
	if json.Unmarshal(b, &m) != nil || m.Type != "reply" || m.Proposal.ClientURL != l.url {
		return
	}
	key := fmt.Sprint(m.Proposal.ID, m.Proposal.Timestamp, m.Proposal.Data)
	l.mu.Lock()
	if l.replies[key] == nil {
		l.replies[key] = map[int]int{}
	}
	l.replies[key][m.Index]++
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// wait waits until f+1 replicas replied to a request.
func (l *listener) wait(t *testing.T, id [2]uint64, timestamp float64, data string, want int) {
	t.Helper()
	key := fmt.Sprint(id, timestamp, data)
	for {
		l.mu.Lock()
		got := len(l.replies[key])
		l.mu.Unlock()
		if got >= want {
			return
		}
		select {
		case <-l.bell:
		case <-t.Context().Done():
			t.Fatalf("%d replicas replied to %s, want %d", got, key, want)
		}
	}
}

func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	resp, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(body)) //nolint:noctx // bounded by the server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatalf("status %d, body is no JSON: %v", resp.StatusCode, err)
	}
	return resp.StatusCode, m
}

func request(l *listener, id [2]uint64, timestamp float64, data string) string {
	b, _ := json.Marshal(map[string]any{"id": id, "client_url": l.url, "timestamp": timestamp, "data": data})
	return string(b)
}

func TestProofOfConceptClientGetsRepliesWhicheverReplicaItAsks(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	l := newListener(t)
	for i := range 4 {
		id := [2]uint64{0, uint64(i)}
		if code, m := post(t, c.URL(i, "/request"), request(l, id, 1.5, "x")); code != 200 || m["status"] != "ACCEPTED" || m["index"] != float64(i) {
			t.Fatalf("replica %d: %d %v", i, code, m)
		}
		l.wait(t, id, 1.5, "x", 4)
	}
}

func TestTwentyOutstandingRequestsOutOfOrder(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	l := newListener(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			n := uint64((i*7 + 3) % 20)
			if code, m := post(t, c.URL(int(n%4), "/request"), request(l, [2]uint64{1, n}, 2, strconv.Itoa(int(n)))); code != 200 {
				t.Errorf("request %d: %d %v", n, code, m)
			}
		})
	}
	wg.Wait()
	for n := range uint64(20) {
		l.wait(t, [2]uint64{1, n}, 2, strconv.Itoa(int(n)), 4)
	}
	if d := c.Dump(0); len(d) != 20 {
		t.Fatalf("%d requests executed, want 20", len(d))
	}
}

func TestRetransmissionIsAnsweredAgainNotExecutedAgain(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	l := newListener(t)
	id := [2]uint64{5, 1}
	post(t, c.URL(0, "/request"), request(l, id, 1, "same"))
	l.wait(t, id, 1, "same", 4)
	post(t, c.URL(0, "/request"), request(l, id, 2, "same")) // a new timestamp, as the old client sends it
	l.wait(t, id, 2, "same", 4)
	if code, m := post(t, c.URL(0, "/request"), request(l, id, 3, "other")); code != 409 {
		t.Fatalf("other data under one id: %d %v", code, m)
	}
	code, m := post(t, c.URL(2, "/request"), `{"id":[5,1],"data":"same"}`)
	if code != 200 || m["status"] != "OK" || m["seq"] != 1.0 || m["result"] != "0" {
		t.Fatalf("without a URL: %d %v", code, m)
	}
	if d := c.Dump(1); len(d) != 1 {
		t.Fatalf("executed %d times", len(d))
	}
}

func TestCurlGetsTheResultFromAnyReplica(t *testing.T) {
	c := replicatest.Start(t, 4, "state_machine: kv\n")
	for i := range 4 {
		code, m := post(t, c.URL(i, "/request"), fmt.Sprintf(`{"id":[%d,0],"data":"put k%d v%d"}`, i, i, i))
		if code != 200 || m["result"] != "OK" {
			t.Fatalf("replica %d: %d %v", i, code, m)
		}
		code, m = post(t, c.URL(3-i, "/request"), fmt.Sprintf(`{"id":[%d,1],"data":"get k%d"}`, i, i))
		if code != 200 || m["result"] != fmt.Sprintf("v%d", i) {
			t.Fatalf("replica %d: %d %v", 3-i, code, m)
		}
	}
}

func TestCheckpointsAreEqualAndDropTheLog(t *testing.T) {
	c := replicatest.Start(t, 4, "ckpt_interval: 5\n")
	for n := range 23 {
		if code, m := post(t, c.URL(0, "/request"), fmt.Sprintf(`{"id":[1,%d],"data":"x"}`, n)); code != 200 {
			t.Fatal(code, m)
		}
	}
	for i := range 4 {
		for c.Status(i).GetLowWatermark() < 20 {
			if t.Context().Err() != nil {
				t.Fatalf("replica %d: low watermark %d", i, c.Status(i).GetLowWatermark())
			}
		}
		a, b := c.Status(0).GetCheckpoint(), c.Status(i).GetCheckpoint()
		if !bytes.Equal(a.GetDigest(), b.GetDigest()) || !bytes.Equal(a.GetAppRoot(), b.GetAppRoot()) || len(b.GetAppRoot()) != 32 {
			t.Fatalf("checkpoints of replicas 0 and %d: %v, %v", i, a, b)
		}
	}
}

func TestOneReplicaAloneIsACluster(t *testing.T) {
	c := replicatest.Start(t, 1, "")
	if code, m := post(t, c.URL(0, "/request"), `{"id":[1,1],"data":"x"}`); code != 200 || m["result"] != "0" {
		t.Fatal(code, m)
	}
}

func TestNoQuorumIs503AndTheReplicaSaysWhy(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	c.StopReplica(2)
	c.StopReplica(3)
	for {
		resp, err := http.Get(c.URL(0, "/readyz")) //nolint:noctx // bounded by the server
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == 503 {
			if !strings.Contains(string(b), "reaches 2 of 4 replicas") {
				t.Fatalf("readyz: %s", b)
			}
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("still ready without a quorum")
		}
	}
	if code, m := post(t, c.URL(0, "/request"), `{"id":[1,1],"data":"x"}`); code != 503 || m["code"] != "UNAVAILABLE" {
		t.Fatal(code, m)
	}
}

// until waits for f, a minute at most.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestReplicaThatLostItsMemoryStaysSilentAndSaysSo(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	for n := range 3 {
		post(t, c.URL(0, "/request"), fmt.Sprintf(`{"id":[1,%d],"data":"x"}`, n))
	}
	until(t, "replica 3 has executed 3 batches", func() bool { return c.Status(3).GetLastExecuted() >= 3 })
	c.StopReplica(3)
	c.Restart(3)
	s := c.Status(3)
	until(t, "replica 3 knows what it is", func() bool {
		s = c.Status(3)
		return s.GetStatus() != pbftv1.ReplicaStatus_REPLICA_STATUS_STARTING
	})
	if s.GetStatus() != pbftv1.ReplicaStatus_REPLICA_STATUS_LEARNER || !strings.Contains(s.GetStatusReason(), "lost its memory") {
		t.Fatalf("status %s: %s", s.GetStatus(), s.GetStatusReason())
	}
	resp, err := http.Get(c.URL(3, "/readyz")) //nolint:noctx // bounded by the server
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != 503 || !strings.Contains(string(b), "learner") {
		t.Fatalf("readyz: %d %s", resp.StatusCode, b)
	}
	if code, m := post(t, c.URL(0, "/request"), `{"id":[1,9],"data":"after"}`); code != 200 {
		t.Fatal(code, m)
	}
	until(t, "replica 3 follows", func() bool { return c.Status(3).GetLastExecuted() >= 4 })
	if code, m := post(t, c.URL(3, "/request"), `{"id":[1,10],"data":"x"}`); code != 503 {
		t.Fatalf("a learner admits a request: %d %v", code, m)
	}
}

// TestAReplicaBeyondTheLogFetchesTheState: a learner whose peers have dropped
// what it lacks takes a certified state over, and follows from there.
func TestAReplicaBeyondTheLogFetchesTheState(t *testing.T) {
	c := replicatest.Start(t, 4, "ckpt_interval: 2\nstate_machine: kv\nhistory_bytes: 1 MiB\n")
	put := func(n int) {
		t.Helper()
		value := strings.Repeat("v", 50_000+n*100)
		if code, m := post(t, c.URL(0, "/request"), fmt.Sprintf(`{"id":[%d,%d],"data":"put k%d %s"}`, n%5, n, n%17, value)); code != 200 {
			t.Fatal(code, m)
		}
	}
	put(0)
	until(t, "replica 3 votes", func() bool { return c.Status(3).GetLastExecuted() >= 1 })
	c.StopReplica(3)
	for n := range 39 {
		put(1 + n)
	}
	c.Restart(3)
	until(t, "replica 3 has the others' state", func() bool {
		return c.Status(3).GetLastExecuted() >= 40 && counter(c.Status(3), "states_installed") > 0
	})
	if s := c.Status(3); s.GetStatus() != pbftv1.ReplicaStatus_REPLICA_STATUS_LEARNER || s.GetInstalling() != 0 {
		t.Fatalf("%s, installing %d", s.GetStatus(), s.GetInstalling())
	}
	for n := range 4 {
		put(40 + n)
	}
	until(t, "replica 3 digests what the others digest", func() bool {
		a, b := c.Status(0).GetCheckpoint(), c.Status(3).GetCheckpoint()
		return a.GetN() >= 44 && a.GetN() == b.GetN() && len(b.GetAppRoot()) > 0 &&
			string(a.GetAppRoot()) == string(b.GetAppRoot()) && string(a.GetClientsRoot()) == string(b.GetClientsRoot())
	})
	if n := counter(c.Status(3), "diverged"); n != 0 {
		t.Fatal("the learner's state differs from the certified one")
	}
}

func counter(s *pbftv1.GetStatusResponse, name string) uint64 {
	for _, c := range s.GetCounters() {
		if c.GetName() == name {
			return c.GetValue()
		}
	}
	return 0
}

func TestComplaintIsCounted(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	if code, m := post(t, c.URL(1, "/view_change_request"), `{"action":"view change"}`); code != 200 {
		t.Fatal(code, m)
	}
	if got := c.Status(1).GetComplaints(); got != 1 {
		t.Fatalf("%d complaints counted", got)
	}
}

func TestIndexOutOfRangeAndPortInUseAreNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg, err := config.Parse("test", fmt.Appendf(nil, "durability: memory\nnodes: [{host: 127.0.0.1, port: %d}]", ln.Addr().(*net.TCPAddr).Port))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replica.New(replica.Options{Config: cfg, Index: 1}); err == nil || !strings.Contains(err.Error(), "index 1 is out of range") {
		t.Fatalf("error %v", err)
	}
	if _, err := replica.New(replica.Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Fatalf("error %v", err)
	}
}

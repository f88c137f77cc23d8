package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbft-go/pbft/crypto"
)

// listener collects what is POSTed to it.
type listener struct {
	*httptest.Server
	bodies chan string
}

func listen(t *testing.T) *listener {
	l := &listener{bodies: make(chan string, 2048)}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %q: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		l.bodies <- r.URL.Path + " " + string(b)
	}))
	t.Cleanup(l.Close)
	return l
}

func TestReplyIsPostedWithTheRequestAsItWasSent(t *testing.T) {
	p := start(t)
	l := listen(t)
	p.locked(func() { p.info.View = 4 })
	body := fmt.Sprintf(`{"id":[1,7],"client_url":"%s/reply","timestamp":1795545436.8101048,"data":"<é> \u0001"}`, l.URL)
	p.curl(t, "/request", body)
	want := fmt.Sprintf(`/reply {"index":2,"view":4,"proposal":{"id":[1,7],"client_url":"%s/reply","timestamp":1795545436.8101048,"data":"<é> \u0001"},"type":"reply","seq":1,"status":"OK","result":"1:<é> \u0001"}`, l.URL)
	if got := <-l.bodies; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A retransmission has a new timestamp, and is answered with that.
	p.curl(t, "/request", strings.Replace(body, "1795545436.8101048", "1800000000", 1))
	if got := <-l.bodies; got != strings.Replace(want, "1795545436.8101048", "1800000000", 1) {
		t.Errorf("again: %s", got)
	}
	// Without timestamp there is none.
	p.curl(t, "/request", fmt.Sprintf(`{"id":[1,8],"client_url":"%s/reply","data":""}`, l.URL))
	want = fmt.Sprintf(`/reply {"index":2,"view":4,"proposal":{"id":[1,8],"client_url":"%s/reply","data":""},"type":"reply","seq":3,"status":"OK","result":"3:"}`, l.URL)
	if got := <-l.bodies; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPostingAsJSON(t *testing.T) {
	base := Posting{View: 1, Client: "12", Number: 3, N: 9, URL: []byte("http://localhost/"), ClientTime: crypto.NoClientTime,
		Op: []byte("op"), Result: crypto.Result{Status: crypto.StatusOK, Value: []byte("r")}}
	for _, c := range []struct {
		name   string
		change func(*Posting)
		want   string
	}{
		{"plain", func(*Posting) {}, `{"index":2,"view":1,"proposal":{"id":[12,3],"client_url":"http://localhost/","data":"op"},"type":"reply","seq":9,"status":"OK","result":"r"}`},
		{"client that is no number", func(p *Posting) { p.Client = `al"ice` }, `"id":["al\"ice",3]`},
		{"client with zeros", func(p *Posting) { p.Client = "007" }, `"id":["007",3]`},
		{"client beyond 2^53", func(p *Posting) { p.Client = "9007199254740992" }, `"id":["9007199254740992",3]`},
		{"operation that is no text", func(p *Posting) { p.Op = []byte{0xff} }, `"data_base64":"/w=="},`},
		{"result that is no text", func(p *Posting) { p.Result.Value = []byte{0xff} }, `"status":"OK","result_base64":"/w=="}`},
		{"no result", func(p *Posting) { p.Result.Tombstone = true }, `"status":"OK"}`},
		{"rejected", func(p *Posting) { p.Result.Status = crypto.StatusRejected }, `"status":"REJECTED"}`},
		{"round time", func(p *Posting) { p.ClientTime = math.Float64bits(1.7e9) }, `"timestamp":1700000000,`},
		{"tiny time", func(p *Posting) { p.ClientTime = math.Float64bits(-1e-7) }, `"timestamp":-1e-07,`},
		{"infinite time", func(p *Posting) { p.ClientTime = math.Float64bits(math.Inf(1)) }, `"http://localhost/","data"`},
	} {
		p := base
		c.change(&p)
		if got := string(p.append(nil, 2)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s does not hold %s", c.name, got, c.want)
		}
	}
}

func TestHostsThatAreNotAllowedAreNotCalled(t *testing.T) {
	p := start(t)
	for _, u := range []string{"http://example.com/", "ftp://localhost/", "http://u@localhost/", "::", ""} {
		p.server.PostReply(Posting{URL: []byte(u)})
	}
	p.server.poster.mu.Lock()
	defer p.server.poster.mu.Unlock()
	if n := len(p.server.poster.hosts); n != 0 {
		t.Errorf("%d hosts are being called", n)
	}
}

// sink is a poster whose deliveries the test ends.
func newSink(t *testing.T) (*poster, func(host string, n int) post) {
	t.Helper()
	p := newPoster(time.Minute, slog.New(slog.DiscardHandler))
	t.Cleanup(p.stop)
	return p, func(host string, n int) post {
		u, err := url.Parse("http://" + host + "/" + fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		return post{url: u, body: []byte("{}")}
	}
}

func TestSilentHostHoldsUpNobodyElse(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l := listen(t)
	p, make := newSink(t)
	for i := range 100 {
		p.add(make(silent.Addr().String(), i))
	}
	for i := range 20 {
		p.add(make(l.Listener.Addr().String(), i))
	}
	for range 20 {
		<-l.bodies
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[postKey(make(silent.Addr().String(), 0).url)]; h.active != maxHostPosts || len(h.queue) != 100-maxHostPosts {
		t.Errorf("silent host: %d under way, %d waiting", h.active, len(h.queue))
	}
}

func TestFullQueueDropsTheOldest(t *testing.T) {
	block := make(chan struct{})
	var mu sync.Mutex
	var paths []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-block
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
	}))
	defer s.Close()
	p, mk := newSink(t)
	host := s.Listener.Addr().String()
	const more = 10
	for i := range maxHostPosts + maxHostQueued + more {
		p.add(mk(host, i))
	}
	if _, _, dropped := p.counts(); dropped != more {
		t.Errorf("%d dropped, want %d", dropped, more)
	}
	p.mu.Lock()
	oldest := p.hosts[postKey(mk(host, 0).url)].queue[0].url.Path
	p.mu.Unlock()
	if want := fmt.Sprint("/", maxHostPosts+more); oldest != want {
		t.Errorf("oldest that waits is %s, want %s", oldest, want)
	}
	close(block)
}

func TestAllQueuesTogetherAreBounded(t *testing.T) {
	p, mk := newSink(t)
	p.active = maxPosts // no worker is free
	large := func(host string) post {
		x := mk(host, 1)
		x.body = make([]byte, 1<<20)
		return x
	}
	p.add(mk("127.0.0.1:1", 1))
	for range maxPostBytes>>20 + 5 {
		p.add(large("127.0.0.1:2"))
	}
	p.mu.Lock()
	if p.bytes > maxPostBytes || len(p.hosts["localhost:1"].queue) != 1 || p.dropped != 6 {
		t.Errorf("%d bytes wait, %d dropped", p.bytes, p.dropped)
	}
	p.active = 0
	p.mu.Unlock()
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	l := listen(t)
	s := httptest.NewServer(http.RedirectHandler(l.URL+"/stolen", http.StatusTemporaryRedirect))
	defer s.Close()
	p, mk := newSink(t)
	if err := p.deliver(mk(s.Listener.Addr().String(), 1)); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("got %v", err)
	}
	if len(l.bodies) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestLongAnswerIsNotRead(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 32<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	p, mk := newSink(t)
	if err := p.deliver(mk(s.Listener.Addr().String(), 1)); err != nil {
		t.Error(err)
	}
}

func TestHostsAreForgottenWhenIdle(t *testing.T) {
	l := listen(t)
	p, mk := newSink(t)
	for i := range 50 {
		p.add(mk(l.Listener.Addr().String(), i))
	}
	for range 50 {
		<-l.bodies
	}
	p.wg.Wait()
	sent, failed, dropped := p.counts()
	if len(p.hosts) != 0 || p.bytes != 0 || p.active != 0 || sent != 50 || failed+dropped != 0 {
		t.Errorf("hosts %v, %d bytes, %d active, %d sent, %d failed, %d dropped", p.hosts, p.bytes, p.active, sent, failed, dropped)
	}
}

func TestStopCutsDeliveriesOff(t *testing.T) {
	entered := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		_, _ = io.Copy(io.Discard, r.Body) // lets the server notice that the caller is gone
		<-r.Context().Done()
	}))
	defer s.Close()
	p, mk := newSink(t)
	p.add(mk(s.Listener.Addr().String(), 1))
	<-entered
	p.stop()
	p.add(mk(s.Listener.Addr().String(), 2))
	if _, failed, _ := p.counts(); failed != 1 || len(p.hosts) != 0 || p.ctx.Err() != context.Canceled {
		t.Errorf("%d failed, hosts %v", failed, p.hosts)
	}
}

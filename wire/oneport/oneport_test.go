package oneport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// patience bounds what should happen at once: a test that needs it has failed.
const patience = 20 * time.Second

// start serves gRPC health and an HTTP greeting on one port.
func start(t *testing.T, o Options) *Mux {
	t.Helper()
	m := listen(t, o)
	gs := grpc.NewServer()
	healthpb.RegisterHealthServer(gs, health.NewServer())
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s by %s", r.Method, r.Proto)
	})}
	serve(t, m)
	var servers sync.WaitGroup
	servers.Go(func() { ended(t, gs.Serve(m.GRPC)) })
	servers.Go(func() { ended(t, hs.Serve(m.HTTP)) })
	t.Cleanup(func() {
		gs.Stop()
		ended(t, hs.Close())
		servers.Wait()
	})
	return m
}

// serve runs m until the test ends.
func serve(t *testing.T, m *Mux) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- m.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
}

// ended reports an error that is not the end of a server.
func ended(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func listen(t *testing.T, o Options) *Mux {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return New(ln, o)
}

func dial(t *testing.T, m *Mux) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", m.HTTP.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantClosed waits for the other end to close c.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c); n > 0 || isTimeout(err) {
		t.Fatalf("read %d bytes, %v: want a closed connection", n, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// get asks for / over c.
func get(t *testing.T, c net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestBothProtocolsOnOnePort(t *testing.T) {
	m := start(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cc, err := grpc.NewClient(m.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	answer, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", answer, err)
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH"} { // as far as P with PRI
		req, err := http.NewRequestWithContext(ctx, method, "http://"+m.HTTP.Addr().String(), strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := method + " by HTTP/1.1"; err != nil || string(body) != want {
			t.Errorf("%s: %q, %v, want %q", method, body, err, want)
		}
	}
}

func TestFirstBytesMayComeOneByOne(t *testing.T) {
	m := start(t, Options{})
	c := dial(t, m)
	for _, b := range "GE" {
		if _, err := c.Write([]byte{byte(b)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(c, "T / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), "GET by HTTP/1.0") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestSilentConnectionIsClosed(t *testing.T) {
	m := start(t, Options{Timeout: time.Millisecond})
	wantClosed(t, dial(t, m))
	c := dial(t, m)
	if _, err := io.WriteString(c, "PR"); err == nil { // undecided to the end
		wantClosed(t, c)
	}
}

func TestTimeoutEndsWithTheFirstBytes(t *testing.T) {
	m := listen(t, Options{Timeout: time.Hour})
	serve(t, m)
	c := dial(t, m)
	if _, err := io.WriteString(c, "GET"); err != nil {
		t.Fatal(err)
	}
	accepted, err := m.HTTP.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	got := make([]byte, 3)
	if _, err := io.ReadFull(accepted, got[:2]); err != nil { // less than was peeked at
		t.Fatal(err)
	}
	if _, err := io.ReadFull(accepted, got[2:]); err != nil || string(got) != "GET" {
		t.Fatalf("read %q, %v", got, err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := accepted.Read(got)
		read <- err
	}()
	c.Close()
	if err := <-read; !errors.Is(err, io.EOF) {
		t.Errorf("read after the peer closed: %v, want EOF", err)
	}
}

func TestOldestSilentConnectionMakesWay(t *testing.T) {
	for name, o := range map[string]Options{
		"of one source":  {Timeout: time.Hour, MaxSource: 2},
		"of all sources": {Timeout: time.Hour, Max: 2},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, o)
			first, second := dial(t, m), dial(t, m)
			third := dial(t, m)
			wantClosed(t, first)
			if got := get(t, third); got != "GET by HTTP/1.1" {
				t.Errorf("newest: %q", got)
			}
			if got := get(t, second); got != "GET by HTTP/1.1" {
				t.Errorf("second: %q", got)
			}
			fourth := dial(t, m) // nobody is waiting any more
			if got := get(t, fourth); got != "GET by HTTP/1.1" {
				t.Errorf("after the flood: %q", got)
			}
		})
	}
}

func TestCloseEndsSilentConnectionsOnly(t *testing.T) {
	m := start(t, Options{Timeout: time.Hour})
	served, silent := dial(t, m), dial(t, m)
	if got := get(t, served); got != "GET by HTTP/1.1" {
		t.Fatal(got)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, silent)
	if got := get(t, served); got != "GET by HTTP/1.1" {
		t.Errorf("connection that was handed over: %q", got)
	}
	if c, err := net.Dial("tcp", m.HTTP.Addr().String()); err == nil {
		c.Close()
		t.Error("the port still accepts")
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestServeAndAcceptEndWithClose(t *testing.T) {
	m := listen(t, Options{})
	serve(t, m)
	accepts := make(chan error, 2)
	for _, ln := range []net.Listener{m.GRPC, m.HTTP} {
		go func() {
			_, err := ln.Accept()
			accepts <- err
		}()
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for range cap(accepts) {
		if err := <-accepts; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want %v", err, net.ErrClosed)
		}
	}
}

func TestServeFailsWhenTheListenerIsClosedByOthers(t *testing.T) {
	m := listen(t, Options{})
	m.listener.Close()
	if err := m.Serve(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v", err, net.ErrClosed)
	}
}

func TestClosingOneHalfLeavesTheOther(t *testing.T) {
	m := start(t, Options{})
	m.GRPC.Close()
	c := dial(t, m)
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, c)
	if got := get(t, dial(t, m)); got != "GET by HTTP/1.1" {
		t.Error(got)
	}
}

// flaky fails to accept a few times.
type flaky struct {
	net.Listener
	failures int
}

var errFlaky = errors.New("too many open files")

func (f *flaky) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, errFlaky
	}
	return f.Listener.Accept()
}

func TestServeOutlivesPassingFailures(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 2)
	m := New(&flaky{Listener: ln, failures: 2}, Options{AcceptFailed: func(err error) { told <- err }})
	serve(t, m)
	for range cap(told) {
		if err := <-told; !errors.Is(err, errFlaky) {
			t.Error(err)
		}
	}
	c := dial(t, m)
	if _, err := io.WriteString(c, "GET"); err != nil {
		t.Fatal(err)
	}
	accepted, err := m.HTTP.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
}

func TestSettledConnectionsAreNotClosedForOthers(t *testing.T) {
	w := newWaiting(2, 2)
	a, b := &fakeConn{from: "10.0.0.1:1"}, &fakeConn{from: "10.0.0.1:2"}
	ea, eb := w.add(a), w.add(b)
	if !w.settle(ea) || !w.settle(eb) {
		t.Fatal("settle failed")
	}
	if w.add(&fakeConn{from: "10.0.0.2:1"}) != nil || a.closed || b.closed {
		t.Fatal("a connection was let in where all are settled")
	}
	w.remove(ea)
	w.remove(ea)
	c := &fakeConn{from: "10.0.0.2:1"}
	ec := w.add(c)
	if ec == nil {
		t.Fatal("no room after one was taken out")
	}
	if w.add(&fakeConn{from: "10.0.0.3:1"}) == nil || !c.closed || w.settle(ec) {
		t.Fatal("the silent one did not make way")
	}
	if len(w.sources) != 2 || w.order.Len() != 2 {
		t.Errorf("%d sources, %d connections, want 2 and 2", len(w.sources), w.order.Len())
	}
}

type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) Close() error { c.closed = true; return nil }

func (c *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}

func TestSourceIsWhatOneSenderHolds(t *testing.T) {
	for addr, want := range map[string]string{
		"10.1.2.3:80":               "10.1.2.3/32",
		"[::ffff:10.1.2.3]:80":      "10.1.2.3/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1:2:3:4%eth0]:80":   "fe80::/64",
	} {
		if got := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))).String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := sourceOf(&net.UnixAddr{Name: "x"}); got.IsValid() {
		t.Errorf("unix socket: %s", got)
	}
}

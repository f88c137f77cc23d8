package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// Bounds of the POSTs to reply URLs. A host that is slow or dead costs its own
// workers and its own queue, nobody else's.
const (
	maxPosts      = 256      // POSTs under way
	maxHostPosts  = 4        // of them to one host and port: small programs take few connections at once
	maxHostQueued = 1024     // POSTs that wait for one host and port
	maxPostBytes  = 64 << 20 // bytes of all that wait
	maxAnswer     = 64 << 10 // bytes of an answer that are read, to keep the connection
)

// poster delivers replies to reply URLs, each at most once and with no promise
// that it arrives: a client that misses one asks again.
type poster struct {
	client *http.Client
	log    *slog.Logger
	ctx    context.Context // ends deliveries
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool
	hosts  map[string]*postHost // those with something waiting or under way
	ready  []*postHost          // those with something waiting and a worker to spare, each once
	active int
	bytes  int // waiting

	sent, failed, dropped uint64
}

// postHost is the queue of one host and port.
type postHost struct {
	name   string
	queue  []post // oldest first
	bytes  int
	active int
	listed bool // in ready
}

type post struct {
	url  *url.URL
	body []byte
}

func newPoster(timeout time.Duration, log *slog.Logger) *poster {
	ctx, cancel := context.WithCancel(context.Background())
	dialer := &net.Dialer{Timeout: timeout}
	return &poster{
		log: log, ctx: ctx, cancel: cancel, hosts: map[string]*postHost{},
		client: &http.Client{
			Timeout: timeout,
			// A redirect could lead to a host that is not allowed.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:                  nil, // the allow-list says whom this replica talks to
				DialContext:            dialer.DialContext,
				TLSHandshakeTimeout:    timeout,
				ForceAttemptHTTP2:      false,
				MaxIdleConns:           maxPosts,
				MaxIdleConnsPerHost:    maxHostPosts,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 16 << 10,
				DisableCompression:     true,
			},
		},
	}
}

// add queues one POST. It never blocks.
func (p *poster) add(x post) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	name := postKey(x.url)
	h := p.hosts[name]
	if h == nil {
		h = &postHost{name: name}
		p.hosts[name] = h
	}
	h.queue = append(h.queue, x)
	h.bytes += len(x.body)
	p.bytes += len(x.body)
	if len(h.queue) > maxHostQueued {
		p.drop(h)
	}
	for p.bytes > maxPostBytes {
		p.drop(p.heaviest())
	}
	p.list(h)
	p.dispatch()
}

// postKey names the program behind a URL. All loopback addresses are one host,
// or a caller could make many hosts of one silent port.
func postKey(u *url.URL) string {
	host := hostKey(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, u.Port())
}

// drop throws away the oldest POST of h: its client has waited longest and is
// likely to have given up or asked again.
func (p *poster) drop(h *postHost) {
	p.pop(h)
	p.dropped++
}

func (p *poster) heaviest() *postHost {
	var most *postHost
	for _, h := range p.hosts {
		if most == nil || h.bytes > most.bytes {
			most = h
		}
	}
	return most
}

func (p *poster) pop(h *postHost) post {
	x := h.queue[0]
	h.queue[0] = post{}
	h.queue = h.queue[1:]
	h.bytes -= len(x.body)
	p.bytes -= len(x.body)
	return x
}

// list puts h behind the hosts that wait for a worker.
func (p *poster) list(h *postHost) {
	if !h.listed && len(h.queue) > 0 && h.active < maxHostPosts {
		h.listed = true
		p.ready = append(p.ready, h)
	}
}

// dispatch starts workers, taking turns between hosts.
func (p *poster) dispatch() {
	for p.active < maxPosts && len(p.ready) > 0 {
		h := p.ready[0]
		p.ready[0] = nil
		p.ready = p.ready[1:]
		h.listed = false
		if len(h.queue) == 0 {
			p.forget(h) // all of it was dropped meanwhile
			continue
		}
		x := p.pop(h)
		h.active++
		p.active++
		p.list(h)
		p.wg.Add(1)
		go p.work(h, x)
	}
}

// forget drops a host with nothing to do.
func (p *poster) forget(h *postHost) {
	if len(h.queue) == 0 && h.active == 0 && !h.listed {
		delete(p.hosts, h.name)
	}
}

func (p *poster) work(h *postHost, x post) {
	defer p.wg.Done()
	err := p.deliver(x)
	if err != nil {
		p.log.Debug("reply not delivered", "host", h.name, "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.sent++
	} else {
		p.failed++
	}
	h.active--
	p.active--
	p.list(h)
	p.forget(h)
	p.dispatch()
}

func (p *poster) deliver(x post) error {
	r, err := http.NewRequestWithContext(p.ctx, http.MethodPost, x.url.String(), bytes.NewReader(x.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "pbft")
	resp, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, maxAnswer); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}

// counts are the POSTs that were answered, that failed, and that were dropped
// from a full queue.
func (p *poster) counts() (sent, failed, dropped uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent, p.failed, p.dropped
}

// stop gives up what waits, cuts off what is under way, and returns when all
// workers have ended.
func (p *poster) stop() {
	p.mu.Lock()
	p.closed = true
	for _, h := range p.hosts {
		for len(h.queue) > 0 {
			p.drop(h)
		}
	}
	p.ready = nil
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	p.client.CloseIdleConnections()
}

package pbftclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
)

// Options say which cluster a client talks to.
type Options struct {
	Replicas  []string          // addresses of the public ports, by index
	ClusterID *crypto.ClusterID // nil: the one that f+1 replicas name first
	ClientID  string            // of the default session; empty: drawn at random
	Retry     time.Duration     // until a request goes to all replicas, and half of it until another sends results; 0: 1 s
	Logger    *slog.Logger      // nil: discarded
}

// FromConfig takes the replicas, the cluster's id and the time of retries from
// a configuration.
func FromConfig(c *config.Config) Options {
	id := c.ClusterID
	o := Options{ClusterID: &id, Retry: c.ClientRetry}
	for _, n := range c.Nodes {
		o.Replicas = append(o.Replicas, n.Addr())
	}
	return o
}

// Client is a connection to a cluster. Its methods may be called from any
// goroutine.
type Client struct {
	o       Options
	f       int
	log     *slog.Logger
	began   time.Time
	spread  uint64 // random; where sessions look for results first
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	conns   []*conn // by index
	first   *Session
	stirred chan struct{}

	mu          sync.Mutex // guards all below, and what sessions and conns say
	closed      bool
	settled     bool // f+1 replicas agree on terms, and cluster is set
	terms       terms
	cluster     crypto.ClusterID
	view        uint64
	sessions    []*Session // by handle
	byID        map[string]*Session
	waiting     []*Session // with a queue
	clock       int64      // when requests began to be placed: it is read once for many
	outstanding int        // requests
	questions   int        // queries
}

// maxReplicas is how many a cluster may have.
const maxReplicas = 64

// New makes a client. It does not wait: connections are made in the
// background, and again whenever they break.
func New(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	n := len(o.Replicas)
	c := &Client{
		o: o, f: (n - 1) / 3, log: o.Logger, began: time.Now(), spread: random(),
		stirred: make(chan struct{}, 1), byID: make(map[string]*Session),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for i, addr := range o.Replicas {
		k, err := newConn(c, i, addr)
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		c.conns = append(c.conns, k)
	}
	c.first = c.session(o.ClientID)
	for _, k := range c.conns {
		c.wg.Go(k.run)
	}
	c.wg.Go(c.watch)
	return c, nil
}

// check fills in defaults and refuses what cannot work.
func (o *Options) check() error {
	n := len(o.Replicas)
	if n != 1 && (n < 4 || n > maxReplicas) {
		return fmt.Errorf("pbftclient: %d replicas, allowed are 1 and 4 to %d", n, maxReplicas)
	}
	index := make(map[string]int, n)
	for i, addr := range o.Replicas {
		if first, twice := index[addr]; twice {
			return fmt.Errorf("pbftclient: replicas %d and %d have the same address %s", first, i, addr)
		}
		index[addr] = i
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ClientID == "" {
		o.ClientID = fmt.Sprintf("client-%016x", random())
	}
	if err := crypto.CheckClient(o.ClientID); err != nil {
		return fmt.Errorf("pbftclient: %w", err)
	}
	return nil
}

// random draws a number that is not 0.
func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// now is the client's clock, in nanoseconds.
func (c *Client) now() int64 { return int64(time.Since(c.began)) }

// Close ends all calls under way with ErrClosed, and all connections.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	var ended []*Call
	for _, s := range c.sessions {
		ended = s.failAll(ended, ErrClosed)
	}
	c.mu.Unlock()
	finished(ended)
	c.cancel()
	c.wg.Wait()
	for _, k := range c.conns {
		_ = k.grpc.Close() // nothing is lost with it
	}
	return nil
}

// Submit orders an operation in the default session. See Session.Submit.
func (c *Client) Submit(ctx context.Context, op []byte) (Result, error) {
	return c.first.Submit(ctx, op)
}

// Go orders an operation in the default session without waiting for its
// result. See Session.Go.
func (c *Client) Go(ctx context.Context, op []byte, done func(Result, error)) {
	c.first.Go(ctx, op, done)
}

// ID is the client id of the default session.
func (c *Client) ID() string { return c.first.id }

// Session finds or opens the session of a client id. All sessions of a Client
// share its streams.
func (c *Client) Session(id string) (*Session, error) {
	if err := crypto.CheckClient(id); err != nil {
		return nil, fmt.Errorf("pbftclient: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if len(c.sessions) >= maxSessions {
		return nil, fmt.Errorf("pbftclient: client %q: %d sessions are open, the most allowed: make another Client", id, maxSessions)
	}
	return c.session(id), nil
}

// maxSessions is how many sessions replicas allow on one stream.
const maxSessions = 65536

func (c *Client) session(id string) *Session {
	if s := c.byID[id]; s != nil {
		return s
	}
	s := newSession(c, id, uint32(len(c.sessions)))
	c.sessions = append(c.sessions, s)
	c.byID[id] = s
	for _, k := range c.conns {
		if k.up {
			k.open(s)
		}
	}
	return s
}

package pbftclient

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
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
	ClusterID *crypto.ClusterID // nil: the one that f+1 replicas name
	ClientID  string            // of the default session; empty: drawn at random
	Retry     time.Duration     // until a request goes to all replicas; 0: 1 s. Doubles up to 8 times.
	Logger    *slog.Logger      // nil: discarded
}

// FromConfig takes the addresses and the cluster's id from a configuration.
func FromConfig(c *config.Config) Options {
	o := Options{ClusterID: &c.ClusterID, Retry: c.ClientRetry}
	for _, n := range c.Nodes {
		o.Replicas = append(o.Replicas, n.Addr())
	}
	return o
}

// Client is a connection to a cluster. Its methods may be called from any
// goroutine.
type Client struct {
	o      Options
	f      int
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	conns  []*conn
	first  *Session

	mu       sync.Mutex // guards all below, and the state of sessions and conns
	closed   bool
	cluster  *crypto.ClusterID
	sessions []*Session // by handle
	byID     map[string]*Session
	view     uint64
	source   int // the replica that sends results in full
	limits   limits
}

// limits are what the cluster allows, as the newest ServerInfo says.
type limits struct {
	window                       uint64
	group, groupBytes, operation int
}

// defaultLimits hold until a replica has spoken.
var defaultLimits = limits{window: 64, group: crypto.MaxGroup, groupBytes: crypto.MaxGroupBytes, operation: 1<<20 - 4<<10}

// New makes a client. It connects in the background.
func New(o Options) (*Client, error) {
	n := len(o.Replicas)
	if n != 1 && n < 4 {
		return nil, fmt.Errorf("pbftclient: %d replicas: a cluster has 1, or at least 4", n)
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		o: o, f: (n - 1) / 3, log: o.Logger, cluster: o.ClusterID, limits: defaultLimits,
		byID: make(map[string]*Session), source: int(random() % uint64(n)),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	id := o.ClientID
	if id == "" {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], random())
		id = "client-" + hex.EncodeToString(b[:])
	}
	for i, addr := range o.Replicas {
		k, err := newConn(c, i, addr)
		if err != nil {
			c.cancel()
			return nil, err
		}
		c.conns = append(c.conns, k)
	}
	var err error
	if c.first, err = c.Session(id); err != nil {
		c.cancel()
		return nil, err
	}
	for _, k := range c.conns {
		c.wg.Go(k.run)
	}
	c.wg.Go(c.watch)
	return c, nil
}

// random draws a number that is not 0.
func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// Close ends all calls under way with ErrClosed.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	var finish []func()
	for _, s := range c.sessions {
		finish = s.failAll(finish, ErrClosed)
	}
	c.mu.Unlock()
	run(finish)
	c.cancel()
	c.wg.Wait()
	return nil
}

func run(fs []func()) {
	for _, f := range fs {
		f()
	}
}

// Submit orders an operation in the default session. See Session.Submit.
func (c *Client) Submit(ctx context.Context, op []byte) (Result, error) {
	return c.first.Submit(ctx, op)
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
	if s := c.byID[id]; s != nil {
		return s, nil
	}
	s := newSession(c, id, uint32(len(c.sessions)))
	c.sessions = append(c.sessions, s)
	c.byID[id] = s
	for _, k := range c.conns {
		k.open(s)
	}
	return s, nil
}

// target is the replica that new requests go to: the primary that the client
// believes in, or else one that is connected.
func (c *Client) target() (k *conn, isPrimary bool) {
	n := uint64(len(c.conns))
	for i := range n {
		if k := c.conns[(c.view+i)%n]; k.up {
			return k, i == 0
		}
	}
	return nil, false
}

// learn takes over what a replica says of its view: the client moves to a view
// that f+1 replicas claim to have reached.
func (c *Client) learn(k *conn, view uint64) {
	if view <= k.view {
		return
	}
	k.view = view
	for _, candidate := range c.conns {
		reached := 0
		for _, other := range c.conns {
			if other.view >= candidate.view {
				reached++
			}
		}
		if reached > c.f && candidate.view > c.view {
			c.view = candidate.view
		}
	}
}

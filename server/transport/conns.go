package transport

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pbft-go/pbft/server/message"
)

const (
	// connsPerPeer is how many connections of each peer are accepted, and
	// strangerConns how many besides.
	connsPerPeer  = 4
	strangerConns = 64
	// introduceTimeout is how long a connection may stay without a link.
	introduceTimeout = 10 * time.Second
)

// conns are the connections of the peer port. Whoever reaches the port can
// open some; only those of links stay.
type conns struct {
	t     *Transport
	limit int

	mu   sync.Mutex
	open map[string]*conn // by remote address
}

// listener wraps the peer port's, to bound and watch what it accepts.
type listener struct {
	net.Listener
	conns *conns
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if w := l.conns.add(c); w != nil {
			return w, nil
		}
		t := l.conns.t
		t.strangers.say(t.log, slog.LevelWarn, "too many connections on the peer port", "remote", c.RemoteAddr().String(), "limit", l.conns.limit)
		c.Close()
	}
}

// conn is one accepted connection.
type conn struct {
	net.Conn
	conns *conns
	timer *time.Timer // closes it unless it carries a link

	// Guarded by conns.mu.
	linked bool
	known  bool // it was logged, or had a link
}

func (s *conns) init(t *Transport, replicas int) {
	s.t, s.limit, s.open = t, connsPerPeer*min(replicas, message.MaxReplicas)+strangerConns, make(map[string]*conn)
}

func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.limit {
		return nil
	}
	w := &conn{Conn: c, conns: s}
	w.timer = time.AfterFunc(introduceTimeout, w.expire)
	s.open[c.RemoteAddr().String()] = w
	return w
}

// linked tells that the connection from remote carries a link, or that it does
// so no longer.
func (s *conns) linked(remote string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.open[remote]; c != nil {
		c.linked, c.known = yes, true
		if !yes {
			c.timer.Reset(introduceTimeout)
		}
	}
}

// known tells that the log has a line about the connection from remote.
func (s *conns) known(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.open[remote]; c != nil {
		c.known = true
	}
}

// expire closes a connection that has stayed without a link for too long.
func (c *conn) expire() {
	c.conns.mu.Lock()
	linked := c.linked
	c.conns.mu.Unlock()
	if !linked {
		_ = c.Close()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	s, remote := c.conns, c.RemoteAddr().String()
	c.timer.Stop()
	s.mu.Lock()
	open, known := s.open[remote] == c, c.known
	if open {
		delete(s.open, remote)
	}
	s.mu.Unlock()
	if open && !known && s.t.ctx.Err() == nil {
		s.t.strangers.say(s.t.log, slog.LevelWarn, "connection on the peer port closed: no replica introduced itself", "remote", remote)
	}
	if err := c.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

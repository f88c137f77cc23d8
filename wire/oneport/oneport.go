// Package oneport serves gRPC and HTTP/1.1 on one plaintext listener. The
// first bytes of a connection decide, so that gRPC keeps its own transport,
// which takes a third of the CPU that gRPC under net/http takes.
package oneport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeout   = 5 * time.Second // honest clients speak at once
	DefaultMax       = 1024            // a few MiB at most
	DefaultMaxSource = 64              // a proxy's burst of new connections
)

// Options bound the connections that have not been handed over yet: those
// that have not sent enough to be told apart, and those that wait for Accept.
// Zero values are the defaults.
//
// Where a bound is reached, the connection that has waited longest is closed
// in favour of the new one: the silent make way, and nobody is locked out by
// them.
type Options struct {
	Timeout   time.Duration // until the first bytes
	Max       int           // of all sources
	MaxSource int           // of one source: an IPv4 address, an IPv6 /64

	// AcceptFailed, if not nil, is told when the listener fails for a reason
	// that may pass, such as too many open files. Serve tries again.
	AcceptFailed func(error)
}

// Mux splits one listener in two.
type Mux struct {
	// GRPC and HTTP are for grpc.Server.Serve and http.Server.Serve. Closing
	// one ends that half only, so that a graceful stop of one server does not
	// cut the other off.
	GRPC, HTTP net.Listener

	listener   net.Listener
	options    Options
	grpc, http *half
	waiting    waiting
	closed     chan struct{}
	closeOnce  sync.Once
	closeErr   error
}

// New splits ln, which it owns from then on. Serve does the work.
func New(ln net.Listener, o Options) *Mux {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Max <= 0 {
		o.Max = DefaultMax
	}
	if o.MaxSource <= 0 {
		o.MaxSource = DefaultMaxSource
	}
	m := &Mux{
		listener: ln,
		options:  o,
		waiting:  newWaiting(o.Max, o.MaxSource),
		closed:   make(chan struct{}),
	}
	m.grpc, m.http = newHalf(m), newHalf(m)
	m.GRPC, m.HTTP = m.grpc, m.http
	return m
}

// Pauses between failed attempts to accept: they double.
const (
	pauseFirst = 5 * time.Millisecond
	pauseMost  = time.Second
)

// Serve accepts connections until Close, after which it returns nil, or until
// somebody else closed the listener. It returns once no connection waits any
// more.
func (m *Mux) Serve() error {
	var sorters sync.WaitGroup
	defer sorters.Wait()
	defer m.end()
	pause := pauseFirst
	for {
		c, err := m.listener.Accept()
		switch {
		case err == nil:
			pause = pauseFirst
			e := m.waiting.add(c)
			if e == nil {
				c.Close()
				continue
			}
			sorters.Go(func() { m.sort(c, e) })
		case m.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			if m.options.AcceptFailed != nil {
				m.options.AcceptFailed(err)
			}
			select {
			case <-time.After(pause):
			case <-m.closed:
				return nil
			}
			pause = min(2*pause, pauseMost)
		}
	}
}

func (m *Mux) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

// Close stops accepting and closes the connections that were not handed over.
// Those that were live on.
func (m *Mux) Close() error {
	m.end()
	return m.closeErr
}

func (m *Mux) end() {
	m.closeOnce.Do(func() {
		close(m.closed)
		m.closeErr = m.listener.Close()
		m.waiting.close()
	})
}

// sort hands raw to the half it belongs to.
func (m *Mux) sort(raw net.Conn, e *entry) {
	defer m.waiting.remove(e)
	c, to, err := m.classify(raw)
	if err != nil || !m.waiting.settle(e) {
		raw.Close()
		return
	}
	select {
	case to.conns <- c:
	case <-to.closed:
		raw.Close()
	case <-m.closed:
		raw.Close()
	}
}

// preface is how HTTP/2 with prior knowledge begins (RFC 9113, section 3.4).
// No HTTP/1.1 method begins so.
var preface = []byte("PRI")

func (m *Mux) classify(raw net.Conn) (net.Conn, *half, error) {
	if err := raw.SetReadDeadline(time.Now().Add(m.options.Timeout)); err != nil {
		return nil, nil, err
	}
	first := make([]byte, len(preface))
	if _, err := io.ReadFull(raw, first); err != nil {
		return nil, nil, err
	}
	if err := raw.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	to := m.http
	if bytes.Equal(first, preface) {
		to = m.grpc
	}
	return &peeked{Conn: raw, first: first}, to, nil
}

// half is the listener of one protocol.
type half struct {
	mux       *Mux
	conns     chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once
}

func newHalf(m *Mux) *half {
	return &half{mux: m, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
	case <-h.mux.closed:
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener.
func (h *half) Close() error {
	h.closeOnce.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *half) Addr() net.Addr { return h.mux.listener.Addr() }

// peeked gives back the bytes that were read to tell the protocol.
type peeked struct {
	net.Conn
	first []byte
}

func (c *peeked) Read(p []byte) (int, error) {
	if len(c.first) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n, nil
}

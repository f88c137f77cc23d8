package oneport

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// waiting holds the connections that were not handed over yet, oldest first.
type waiting struct {
	max, maxSource int

	mu      sync.Mutex
	closed  bool
	order   *list.List // of *entry
	sources map[netip.Prefix]int
}

type entry struct {
	conn    net.Conn
	source  netip.Prefix
	place   *list.Element // nil: out
	settled bool          // told apart, waits for Accept only
}

func newWaiting(most, mostSource int) waiting {
	return waiting{max: most, maxSource: mostSource, order: list.New(), sources: make(map[netip.Prefix]int)}
}

// add enters c. If c is one too many, the oldest one that is still silent is
// closed. It returns nil if there is no such one either, or after close.
func (w *waiting) add(c net.Conn) *entry {
	e := &entry{conn: c, source: sourceOf(c.RemoteAddr())}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || !w.makeRoom(e.source) {
		return nil
	}
	w.sources[e.source]++
	e.place = w.order.PushBack(e)
	return e
}

// makeRoom reports whether there is room for one more of source.
func (w *waiting) makeRoom(source netip.Prefix) bool {
	sourceFull := w.sources[source] >= w.maxSource
	if !sourceFull && w.order.Len() < w.max {
		return true
	}
	for el := w.order.Front(); el != nil; el = el.Next() {
		e := el.Value.(*entry)
		if !e.settled && (!sourceFull || e.source == source) {
			e.conn.Close()
			w.drop(e)
			return true
		}
	}
	return false
}

// settle keeps e, told apart by now, from being closed for another one's
// sake. It reports false if that has happened.
func (w *waiting) settle(e *entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.settled = e.place != nil
	return e.settled
}

// remove takes out a connection that was handed over or closed.
func (w *waiting) remove(e *entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(e)
}

func (w *waiting) drop(e *entry) {
	if e.place == nil {
		return
	}
	w.order.Remove(e.place)
	e.place = nil
	if w.sources[e.source]--; w.sources[e.source] == 0 {
		delete(w.sources, e.source)
	}
}

// close closes the silent connections and lets none in. The settled ones see
// to themselves.
func (w *waiting) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for el := w.order.Front(); el != nil; el = el.Next() {
		if e := el.Value.(*entry); !e.settled {
			e.conn.Close()
		}
	}
}

// sourceOf is the part of an address that one sender holds alone: of IPv6
// that is a /64. Addresses that are no IP addresses are all one source.
func sourceOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

package main

import (
	"context"
	"sync"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
)

// lane is one client of the load. Its goroutine submits; answers come on the
// goroutines of the client library, give their place back and wake it.
type lane struct {
	l       *load
	s       *pbftclient.Session
	shard   *shard
	ops     *workload
	places  int
	every   time.Duration // between two requests, 0: closed loop
	offset  time.Duration // of the first
	pending []*place      // scratch of run
	calls   []*pbftclient.Call

	mu    sync.Mutex
	free  []*place
	freed chan struct{} // holds one token if free may have grown
}

// place is a request that may be in flight. Places and their operations are
// used again, so that a request costs no allocation.
type place struct {
	pbftclient.Call
	lane *lane
	from time.Time // the latency counts from here
	buf  []byte    // holds the operation, unless that is a fixed one
}

func newLane(l *load, s *pbftclient.Session, index int) *lane {
	o := l.o
	x := &lane{
		l: l, s: s, shard: &l.shards[index%shards], ops: newWorkload(o, index),
		places: share(o.outstanding, o.clients, index), freed: make(chan struct{}, 1),
	}
	if o.rate > 0 {
		x.every = time.Duration(float64(o.clients) / o.rate * float64(time.Second))
		x.offset = time.Duration(float64(index) / o.rate * float64(time.Second))
	}
	for range x.places {
		p := &place{lane: x, buf: make([]byte, 0, o.size)}
		p.Done = p.answered
		x.free = append(x.free, p)
	}
	return x
}

// share is part index of total in parts that differ by one at most.
func share(total, parts, index int) int {
	n := total / parts
	if index < total%parts {
		n++
	}
	return n
}

// answered is called by the client library; it must not block.
func (p *place) answered(*pbftclient.Call) {
	x, err := p.lane, p.Err
	if err == nil {
		err = x.l.o.micro.check(&p.Result)
	}
	if err == nil {
		x.shard.record(time.Since(p.from), nil)
	} else {
		x.l.failed(x.shard, err)
	}
	x.mu.Lock()
	x.free = append(x.free, p)
	x.mu.Unlock()
	select {
	case x.freed <- struct{}{}:
	default:
	}
}

// run submits until the load stops, and then waits for what is in flight.
func (x *lane) run(at time.Time) {
	if x.every > 0 {
		x.runOpen(at.Add(x.offset))
	} else {
		x.runClosed()
	}
	for x.inFlight() > 0 {
		<-x.freed
	}
}

func (x *lane) inFlight() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.places - len(x.free) - len(x.pending)
}

// take moves all free places to pending.
func (x *lane) take() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending = append(x.pending, x.free...)
	x.free = x.free[:0]
}

// add makes the next request. It needs a pending place.
func (x *lane) add(from time.Time) {
	last := len(x.pending) - 1
	p := x.pending[last]
	x.pending = x.pending[:last]
	p.from, p.Op = from, x.ops.next(p.buf)
	x.calls = append(x.calls, &p.Call)
}

// submit sends the requests that were made. They have no deadline: the library
// is closed at the end of the load.
func (x *lane) submit() {
	if len(x.calls) > 0 {
		x.s.Start(context.Background(), x.calls...)
		x.calls = x.calls[:0]
	}
}

// runClosed sends the next request when an answer comes.
func (x *lane) runClosed() {
	for {
		x.take()
		now := time.Now()
		for len(x.pending) > 0 {
			x.add(now)
		}
		x.submit()
		select {
		case <-x.l.stop:
			return
		case <-x.freed:
		}
	}
}

// runOpen sends each request when its time has come. One that finds no free
// place waits for one, and its latency counts on.
func (x *lane) runOpen(due time.Time) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for now := time.Now(); !due.After(now); due = due.Add(x.every) {
			if len(x.pending) == 0 {
				x.take()
			}
			if len(x.pending) == 0 {
				break
			}
			x.add(due)
		}
		x.submit()
		// Without a place only an answer helps.
		timer.Reset(max(time.Until(due), 0))
		tick := timer.C
		if len(x.pending) == 0 && !due.After(time.Now()) {
			tick = nil
		}
		select {
		case <-x.l.stop:
			return
		case <-tick:
		case <-x.freed:
		}
	}
}

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

	mu    sync.Mutex
	free  []*place
	freed chan struct{} // holds one token if free may have grown
}

// place is a request that may be in flight. Places are used again, so that a
// request costs no allocation beside its operation.
type place struct {
	lane *lane
	from time.Time // the latency counts from here
	done func(pbftclient.Result, error)
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
		p := &place{lane: x}
		p.done = p.answered
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
func (p *place) answered(r pbftclient.Result, err error) {
	x := p.lane
	if err == nil {
		err = x.l.o.micro.check(&r)
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

func (x *lane) submit(from time.Time) {
	last := len(x.pending) - 1
	p := x.pending[last]
	x.pending = x.pending[:last]
	p.from = from
	// Without a deadline: the library is closed at the end of the load.
	x.s.Go(context.Background(), x.ops.next(), p.done)
}

// runClosed sends the next request when an answer comes.
func (x *lane) runClosed() {
	for {
		x.take()
		now := time.Now()
		for len(x.pending) > 0 {
			x.submit(now)
		}
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
			x.submit(due)
		}
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

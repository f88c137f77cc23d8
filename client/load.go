package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/pbft-go/pbft/client/pbftclient"
)

const (
	// shards is how many histograms the clients share; each costs 200 KB.
	shards = 8
	// maxLatency is the largest latency that is told apart, in microseconds.
	maxLatency = int64(10 * time.Minute / time.Microsecond)
	// drainTimeout is how long requests in flight are waited for at the end.
	drainTimeout = 5 * time.Second
)

// load is a number of clients that keep requests in flight.
type load struct {
	o       *benchOptions
	clients []*pbftclient.Client
	lanes   []*lane
	shards  [shards]shard
	stop    chan struct{}
	fatal   chan error // an error after which no request can succeed
	wg      sync.WaitGroup
	once    sync.Once
}

// shard is where some of the clients record.
type shard struct {
	mu       sync.Mutex
	latency  *hdrhistogram.Histogram // microseconds
	requests uint64
	errors   map[string]uint64 // by text
}

// maxErrorTexts bounds the different errors that are counted apart.
const maxErrorTexts = 16

func newLoad(o *benchOptions, c *cluster) (*load, error) {
	l := &load{o: o, stop: make(chan struct{}), fatal: make(chan error, 1)}
	for i := range l.shards {
		l.shards[i].latency = hdrhistogram.New(1, maxLatency, 3)
		l.shards[i].errors = make(map[string]uint64)
	}
	for range o.connections {
		client, err := pbftclient.New(c.clientOptions())
		if err != nil {
			l.close(context.Background())
			return nil, err
		}
		l.clients = append(l.clients, client)
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	run := hex.EncodeToString(b[:])
	for i := range o.clients {
		s, err := l.clients[i%len(l.clients)].Session(fmt.Sprintf("bench-%s-%d", run, i))
		if err != nil {
			l.close(context.Background())
			return nil, err
		}
		l.lanes = append(l.lanes, newLane(l, s, i))
	}
	return l, nil
}

// start starts all clients.
func (l *load) start(at time.Time) {
	for _, x := range l.lanes {
		l.wg.Go(func() { x.run(at) })
	}
}

// wait lets the load run for d, unless ctx ends or nothing can succeed.
func (l *load) wait(ctx context.Context, d time.Duration, bar *progress) error {
	end := time.NewTimer(d)
	defer end.Stop()
	step := time.NewTicker(progressStep)
	defer step.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-l.fatal:
			return err
		case <-step.C:
			bar.step()
		case <-end.C:
			return nil
		}
	}
}

// close ends the load. Requests in flight get a while to be answered, unless
// ctx has ended.
func (l *load) close(ctx context.Context) {
	l.once.Do(func() { close(l.stop) })
	drained := make(chan struct{})
	go func() { l.wg.Wait(); close(drained) }()
	t := time.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-drained:
	case <-t.C:
	case <-ctx.Done():
	}
	for _, c := range l.clients {
		_ = c.Close() // ends what is still in flight
	}
	<-drained
}

// reset begins the measured part.
func (l *load) reset() {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		s.latency.Reset()
		s.requests = 0
		clear(s.errors)
		s.mu.Unlock()
	}
}

// figures are what the clients recorded since the last reset.
type figures struct {
	latency  *hdrhistogram.Histogram
	requests uint64
	errors   map[string]uint64
}

func (l *load) figures() figures {
	sum := figures{latency: hdrhistogram.New(1, maxLatency, 3), errors: map[string]uint64{}}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		sum.latency.Merge(s.latency)
		sum.requests += s.requests
		for text, n := range s.errors {
			sum.errors[text] += n
		}
		s.mu.Unlock()
	}
	return sum
}

// record counts an answer that took d.
func (s *shard) record(d time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.requests++
		_ = s.latency.RecordValue(min(max(d.Microseconds(), 1), maxLatency)) // in range
		return
	}
	text := err.Error()
	if _, known := s.errors[text]; !known && len(s.errors) >= maxErrorTexts {
		text = "other errors"
	}
	s.errors[text]++
}

// failed counts an error, and ends the benchmark if all others would fail, too.
func (l *load) failed(s *shard, err error) {
	s.record(0, err)
	if refused := (*pbftclient.RefusedError)(nil); errors.As(err, &refused) {
		select {
		case l.fatal <- err:
		default: // it knows
		}
	}
}

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// probeClients is two for each of four replicas.
	probeClients = 2 * replicas
	firstClient  = 7000
	thinkTime    = 50 * time.Millisecond
	// attemptTimeout is how long one replica may take before the next is asked.
	attemptTimeout = time.Second
	// probeTimeout is after which an operation counts as lost.
	probeTimeout = 20 * time.Second
	retryAfter   = 20 * time.Millisecond
)

// probe is a number of JSON clients that notes when each operation was
// acknowledged. Each client has one operation in flight and stays with one
// replica until that fails it.
type probe struct {
	addrs []string
	http  http.Client
	stop  chan struct{}
	wg    sync.WaitGroup
	begin time.Time

	mu     sync.Mutex
	acks   []ack
	errors []string
}

// ack is an acknowledged operation.
type ack struct {
	id, op string // as dumps have them
	at     time.Time
}

func startProbe(ctx context.Context, addrs []string) *probe {
	p := &probe{addrs: addrs, stop: make(chan struct{}), begin: time.Now()}
	p.http.Transport = &http.Transport{MaxIdleConnsPerHost: probeClients}
	for i := range probeClients {
		p.wg.Go(func() { p.client(ctx, i) })
	}
	return p
}

// end waits for the operations in flight. The probe has to be ended once.
func (p *probe) end() {
	close(p.stop)
	p.wg.Wait()
	p.http.CloseIdleConnections()
}

func (p *probe) client(ctx context.Context, index int) {
	replica := index % len(p.addrs)
	for number := 0; ; number++ {
		select {
		case <-p.stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(thinkTime):
		}
		client := firstClient + index
		op := fmt.Sprintf("probe %d of %d", number, client)
		var err error
		if replica, err = p.order(ctx, replica, client, number, op); err != nil {
			p.mu.Lock()
			p.errors = append(p.errors, fmt.Sprintf("operation %d of client %d: %v", number, client, err))
			p.mu.Unlock()
			continue
		}
		p.mu.Lock()
		p.acks = append(p.acks, ack{fmt.Sprintf("%d, %d", client, number), fmt.Sprintf("%q", op), time.Now()})
		p.mu.Unlock()
	}
}

// order repeats one operation under one number, at one replica after the other,
// until it is acknowledged, and returns the replica that did it.
func (p *probe) order(ctx context.Context, replica, client, number int, op string) (int, error) {
	body, err := json.Marshal(map[string]any{"id": []int{client, number}, "data": op})
	if err != nil {
		return replica, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for {
		again, err := p.attempt(ctx, p.addrs[replica], body)
		if err == nil || !again {
			return replica, err
		}
		replica = (replica + 1) % len(p.addrs)
		if sleep(ctx, retryAfter) != nil {
			return replica, fmt.Errorf("not acknowledged within %v, at last: %w", probeTimeout, err)
		}
	}
}

// attempt asks one replica, and says after an error whether another one may do
// better.
func (p *probe) attempt(ctx context.Context, addr string, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/request", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	resp, err := p.http.Do(r)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return true, err
	}
	var answer struct {
		Status string `json:"status"`
	}
	if resp.StatusCode == http.StatusOK && json.Unmarshal(text, &answer) == nil && answer.Status == "OK" {
		return false, nil
	}
	again = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	return again, fmt.Errorf("%s from %s: %s", resp.Status, addr, bytes.TrimSpace(text))
}

// pause is the longest time until end in which nothing was acknowledged.
func (p *probe) pause(end time.Time) (longest time.Duration) {
	times := []time.Time{p.begin}
	for _, a := range p.acks {
		times = append(times, a.at)
	}
	times = append(times, end)
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		longest = max(longest, times[i].Sub(times[i-1]))
	}
	return longest
}

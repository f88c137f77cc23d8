//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// replicaStatus is the part of GET /v1/status that matters here.
type replicaStatus struct {
	View         uint64 `json:"view"`
	Primary      int    `json:"primary"`
	Status       string `json:"status"`
	Reason       string `json:"status_reason"`
	LastExecuted uint64 `json:"last_executed"`
	Requests     uint64 `json:"executed_requests"`
	Saved        uint64 `json:"saved"`
	Turns        spans  `json:"turns"`
	Syncs        spans  `json:"syncs"`
	Peers        []struct {
		Connected bool `json:"connected"`
	} `json:"peers"`
}

func (s *replicaStatus) connected() (n int) {
	for _, p := range s.Peers {
		if p.Connected {
			n++
		}
	}
	return n
}

// asker keeps no connection, as one to a replica that was cut off would hang.
var asker = &http.Client{Timeout: statusTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

func (c *cluster) status(ctx context.Context, i int) (*replicaStatus, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addrs[i]+"/v1/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := asker.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	s := &replicaStatus{}
	if err := json.NewDecoder(resp.Body).Decode(s); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return s, nil
}

// primary is what most replicas say, of the highest view.
func (c *cluster) primary(ctx context.Context) (int, error) {
	var highest *replicaStatus
	for i := range c.procs {
		if s, err := c.status(ctx, i); err == nil && (highest == nil || s.View > highest.View) {
			highest = s
		}
	}
	if highest == nil {
		return 0, fmt.Errorf("no replica tells who the primary is")
	}
	return highest.Primary, nil
}

// spans says how long something took, since the replica started. Entry i of
// Counts is for those up to shortestSpan << i, the last one for all longer ones.
type spans struct {
	Counts    []uint64 `json:"counts"`
	LongestUS uint64   `json:"longest_us"`
}

const shortestSpan = 16 * time.Microsecond

func (s *spans) longest() time.Duration { return time.Duration(s.LongestUS) * time.Microsecond }

// since tells the longest one after an earlier look: it took more than the first
// and at most the second. Both are the same if it is the longest of all.
func (s *spans) since(before *spans) (over, most time.Duration) {
	if s.LongestUS > before.LongestUS {
		return s.longest(), s.longest()
	}
	for i := len(s.Counts) - 1; i >= 0; i-- {
		if i >= len(before.Counts) || s.Counts[i] > before.Counts[i] {
			if i > 0 {
				over = shortestSpan << (i - 1)
			}
			return over, min(shortestSpan<<i, s.longest())
		}
	}
	return 0, 0
}

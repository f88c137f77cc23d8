package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// reply is the body of POST /reply. Fields that it lacks may come too.
type reply struct {
	Index    *int    `json:"index"`
	View     *uint64 `json:"view"`
	Proposal *struct {
		ID   []uint64 `json:"id"`
		Data *string  `json:"data"`
	} `json:"proposal"`
	Seq          uint64 `json:"seq"`
	Status       string `json:"status"`
	Result       string `json:"result"`
	ResultBase64 string `json:"result_base64"`
}

// parseReply reads a body that anybody may have sent.
func parseReply(body []byte) (*reply, error) {
	r := new(reply)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("reply is not as it must be: %w", err)
	}
	switch {
	case r.Index == nil:
		return nil, errors.New("reply lacks index, needs the replica's number")
	case r.View == nil:
		return nil, errors.New("reply lacks view, needs the replica's view")
	case r.Proposal == nil || r.Proposal.Data == nil:
		return nil, errors.New("reply lacks proposal or its data, needs the request as it was sent")
	case len(r.Proposal.ID) != 2:
		return nil, fmt.Errorf("proposal.id has %d numbers, needs two: [client, number]", len(r.Proposal.ID))
	}
	return r, nil
}

// word is what replicas must say alike of a request. The timestamp is left
// out: a reply to an earlier try is as good.
type word struct {
	view, seq         uint64
	status            string
	result, resultB64 string
}

// tally counts replies to one request at a time. Of each replica the newest
// counts.
type tally struct {
	n, f int

	mu     sync.Mutex
	client uint64
	number uint64
	data   string
	open   bool
	words  map[int]word // by replica
	agreed chan word    // gets the word of f+1 replicas, once
}

func newTally(n, f int, client uint64) *tally {
	return &tally{n: n, f: f, client: client}
}

// start begins to count replies to a request and forgets those before.
func (t *tally) start(number uint64, data string) <-chan word {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number, t.data, t.open = number, data, true
	t.words, t.agreed = make(map[int]word, t.n), make(chan word, 1)
	return t.agreed
}

// add counts a reply, if it is one to the present request and comes from a
// replica that exists.
func (t *tally) add(r *reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := r.Proposal
	if !t.open || p.ID[0] != t.client || p.ID[1] != t.number || *p.Data != t.data || *r.Index < 0 || *r.Index >= t.n {
		return
	}
	said := word{
		view: *r.View, seq: r.Seq, status: r.Status, result: r.Result, resultB64: r.ResultBase64,
	}
	t.words[*r.Index] = said
	alike := 0
	for _, other := range t.words {
		if other == said {
			alike++
		}
	}
	if alike > t.f {
		t.open = false
		t.agreed <- said
	}
}

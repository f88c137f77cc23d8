// Package kv is a key-value store with commands in text:
//
//	put K V        OK
//	get K          the value, or NOT_FOUND
//	delete K       OK, or NOT_FOUND
//	cas K OLD NEW  OK, MISMATCH and the present value, or NOT_FOUND
//
// Words are separated by one space. A value of put, and NEW of cas, is the
// rest of the operation and may hold any bytes. What makes no sense is
// answered by ERROR and the reason, and changes nothing. So is a command that
// would give a value when those of its batch are MaxResults bytes already: a
// few bytes of commands could ask for gigabytes otherwise.
package kv

import (
	"bytes"
	"strconv"

	"github.com/pbft-go/pbft/server/statemachine"
)

// Bounds of what a command may hold and a batch may answer.
const (
	MaxKey     = 1024     // bytes of the longest key
	MaxResults = 16 << 20 // bytes of results of one batch beyond which no value is given
)

// KV is the application.
type KV struct{ keys [][]byte }

// New makes one.
func New() statemachine.StateMachine { return &KV{} }

var (
	ok       = []byte("OK")
	notFound = []byte("NOT_FOUND")
)

const mismatch = "MISMATCH "

// Apply runs the commands in order.
func (kv *KV) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	kv.keys = kv.keys[:0]
	for i := range b.Ops {
		_, rest, _ := bytes.Cut(b.Ops[i].Data, space)
		key, _, _ := bytes.Cut(rest, space)
		kv.keys = append(kv.keys, key)
	}
	st.Prefetch(kv.keys)
	for i := range b.Ops {
		run(b.Ops[i].Data, st, r)
	}
	clear(kv.keys)
}

var space = []byte(" ")

func run(op []byte, st statemachine.State, r *statemachine.Results) {
	command, rest, _ := bytes.Cut(op, space)
	key, rest, more := bytes.Cut(rest, space)
	if len(key) == 0 {
		r.AddString("ERROR the command needs a key: put K V, get K, delete K, cas K OLD NEW")
		return
	}
	if len(key) > MaxKey {
		r.AddString("ERROR the key has " + strconv.Itoa(len(key)) + " bytes, the most allowed is " + strconv.Itoa(MaxKey))
		return
	}
	switch string(command) {
	case "put":
		if !more {
			r.AddString("ERROR put needs a value: put K V")
			return
		}
		st.Put(key, rest)
		r.Add(ok)
	case "get", "delete":
		if more {
			r.AddString("ERROR " + string(command) + " takes a key and nothing else; a key holds no space")
			return
		}
		value, found := st.Get(key)
		switch {
		case !found:
			r.Add(notFound)
		case command[0] == 'g':
			give(r, "", value)
		default:
			st.Delete(key)
			r.Add(ok)
		}
	case "cas":
		compareAndSwap(key, rest, st, r)
	default:
		r.AddString("ERROR unknown command: put K V, get K, delete K, cas K OLD NEW")
	}
}

func compareAndSwap(key, rest []byte, st statemachine.State, r *statemachine.Results) {
	before, after, complete := bytes.Cut(rest, space)
	if !complete {
		r.AddString("ERROR cas needs the old and the new value: cas K OLD NEW")
		return
	}
	value, found := st.Get(key)
	switch {
	case !found:
		r.Add(notFound)
	case !bytes.Equal(value, before):
		give(r, mismatch, value)
	default:
		st.Put(key, after)
		r.Add(ok)
	}
}

// give answers with a value, if the batch has room for it. All replicas see
// the same batch, so all of them say the same.
func give(r *statemachine.Results, prefix string, value []byte) {
	if r.Size() >= MaxResults {
		r.AddString("ERROR the values of this batch have " + strconv.Itoa(MaxResults) + " bytes already: ask again, under a new number")
		return
	}
	r.Append(func(b []byte) []byte { return append(append(b, prefix...), value...) })
}

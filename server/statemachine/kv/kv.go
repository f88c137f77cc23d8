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
type KV struct {
	commands [window]command
	keys     [window][]byte
}

// window is how many commands have their keys brought near at once: what they
// need fits into a processor's own cache.
const window = 128

// New makes one.
func New() statemachine.StateMachine { return &KV{} }

var (
	ok       = []byte("OK")
	notFound = []byte("NOT_FOUND")
)

const mismatch = "MISMATCH "

// Apply runs the commands in order.
func (kv *KV) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	for ops := b.Ops; len(ops) > 0; {
		n := min(window, len(ops))
		for i := range n {
			kv.commands[i] = parse(ops[i].Data)
			kv.keys[i] = kv.commands[i].key
		}
		st.Prefetch(kv.keys[:n])
		for i := range n {
			kv.commands[i].run(st, r)
		}
		ops = ops[n:]
	}
	clear(kv.commands[:])
	clear(kv.keys[:])
}

// command is an operation in parts, which a space separates.
type command struct {
	name, key, rest []byte
	more            bool // a space follows the key
}

func parse(op []byte) (c command) {
	name, rest, _ := cut(op)
	c.name = name
	c.key, c.rest, c.more = cut(rest)
	return c
}

// cut splits s at the first space.
func cut(s []byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, nil, false
}

func (c *command) run(st statemachine.State, r *statemachine.Results) {
	if len(c.key) == 0 {
		r.AddString("ERROR the command needs a key: put K V, get K, delete K, cas K OLD NEW")
		return
	}
	if len(c.key) > MaxKey {
		r.AddString("ERROR the key has " + strconv.Itoa(len(c.key)) + " bytes, the most allowed is " + strconv.Itoa(MaxKey))
		return
	}
	switch string(c.name) {
	case "put":
		if !c.more {
			r.AddString("ERROR put needs a value: put K V")
			return
		}
		st.Put(c.key, c.rest)
		r.Add(ok)
	case "get", "delete":
		c.getOrDelete(st, r)
	case "cas":
		c.compareAndSwap(st, r)
	default:
		r.AddString("ERROR unknown command: put K V, get K, delete K, cas K OLD NEW")
	}
}

func (c *command) getOrDelete(st statemachine.State, r *statemachine.Results) {
	if c.more {
		r.AddString("ERROR " + string(c.name) + " takes a key and nothing else; a key holds no space")
		return
	}
	value, found := st.Get(c.key)
	switch {
	case !found:
		r.Add(notFound)
	case c.name[0] == 'g':
		give(r, "", value)
	default:
		st.Delete(c.key)
		r.Add(ok)
	}
}

func (c *command) compareAndSwap(st statemachine.State, r *statemachine.Results) {
	before, after, complete := cut(c.rest)
	if !complete {
		r.AddString("ERROR cas needs the old and the new value: cas K OLD NEW")
		return
	}
	value, found := st.Get(c.key)
	switch {
	case !found:
		r.Add(notFound)
	case !bytes.Equal(value, before):
		give(r, mismatch, value)
	default:
		st.Put(c.key, after)
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

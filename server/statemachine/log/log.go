// Package log is the default application: it appends every operation to a log
// and answers with its position, in decimal, from 0.
//
// The content is the ordered log that the replicas keep anyway; the state is
// its length and a hash chain over it.
package log

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"github.com/pbft-go/pbft/server/statemachine"
)

// The keys of the state.
var (
	keyLength = []byte("length") // u64, big-endian
	keyChain  = []byte("chain")  // SHA-256(chain || operation), from 32 zeros
)

// Log is the application.
type Log struct{}

// New makes one.
func New() statemachine.StateMachine { return Log{} }

// Apply appends the operations.
func (Log) Apply(b *statemachine.Batch, st statemachine.State, r *statemachine.Results) {
	var length uint64
	if v, ok := st.Get(keyLength); ok {
		length = binary.BigEndian.Uint64(v)
	}
	var chain [sha256.Size]byte
	if v, ok := st.Get(keyChain); ok {
		copy(chain[:], v)
	}
	h := sha256.New()
	for i := range b.Ops {
		h.Reset()
		h.Write(chain[:])
		h.Write(b.Ops[i].Data)
		h.Sum(chain[:0])
		r.Append(func(buf []byte) []byte { return strconv.AppendUint(buf, length, 10) })
		length++
	}
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], length)
	st.Put(keyLength, buf[:])
	st.Put(keyChain, chain[:])
}

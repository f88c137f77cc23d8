package execution

import (
	"errors"
	"math"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// The history on disk reaches further back than the one in memory, and ends
// where the newest saved state does.

// What follows an entry's header on disk.
const (
	outcomesNone  = 0 // the null batch
	outcomesUsual = 1 // everything was executed
	outcomesEach  = 2 // a byte for each request follows
)

// appendEntry appends a batch of the history as the disk has it, but for its
// body.
func appendEntry(b []byte, x *LogEntry) []byte {
	b = crypto.AppendU64(b, x.View)
	b = crypto.AppendU64(b, uint64(x.TimeUS))
	b = append(b, x.Digest[:]...)
	b = x.Header.Append(b)
	if x.batch == nil {
		return append(b, outcomesNone)
	}
	at := len(b)
	b = append(b, outcomesUsual)
	for _, o := range x.outcomes {
		if o != usual {
			b[at] = outcomesEach
		}
	}
	if b[at] == outcomesEach {
		for _, o := range x.outcomes {
			b = append(b, byte(o.status)<<1|bit(o.executed))
		}
	}
	return b
}

var usual = outcome{crypto.StatusOK, true}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// archive reads the history on disk.
type archive struct {
	cfg *Config
	db  StateStore
}

// errEnough ends a scan.
var errEnough = errors.New("execution: enough")

// each calls f for the batches in [from, to), in order, until it returns false.
// With bodies, each is verified; else an entry has neither body nor outcomes.
func (a *archive) each(from, to uint64, bodies bool, f func(x *LogEntry) bool) error {
	err := a.db.Scan(keyOf(nil, tableHistory, from), keyOf(nil, tableHistory, to), func(key, value []byte) error {
		x, outcomes, err := parseEntry(key, value)
		if err == nil && bodies && outcomes != nil {
			err = a.fill(x, outcomes)
		}
		if err == nil && !f(x) {
			err = errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// parseEntry parses a batch of the history. Its outcomes, nil for the null
// batch, alias value.
func parseEntry(key, value []byte) (x *LogEntry, outcomes []byte, err error) {
	k, r := crypto.NewReader(key[1:]), crypto.NewReader(value)
	n := k.U64()
	x = &LogEntry{View: r.U64(), TimeUS: int64(r.U64()), Digest: r.Digest(), Header: message.ReadHeader(&r)}
	kind := r.U8()
	rest := value[len(value)-r.Len():]
	switch {
	case k.Done() != nil || r.Err() != nil || x.Header.N != n || kind > outcomesEach || kind != outcomesEach && len(rest) > 0:
		return nil, nil, damaged("history: batch %d is not one", n)
	case kind == outcomesNone:
		return x, nil, nil
	}
	return x, rest, nil
}

// fill adds the body to an entry, and the outcomes.
func (a *archive) fill(x *LogEntry, outcomes []byte) error {
	n := x.Header.N
	body, ok, err := a.db.Get(keyOf(nil, tableBodies, n))
	if err != nil {
		return err
	}
	if !ok {
		return damaged("history: batch %d has no body", n)
	}
	if x.batch, err = message.ParseBatch(a.cfg.Cluster, message.Limits{MaxBatch: math.MaxInt, MaxBatchBytes: math.MaxInt}, x.Header, body); err != nil {
		return damaged("history: %w", err)
	}
	if x.batch.Digest != x.Digest {
		return damaged("history: batch %d hashes to %s, it was executed as %s", n, x.batch.Digest.Hex(), x.Digest.Hex())
	}
	if len(outcomes) > 0 && len(outcomes) != int(x.Header.Count) {
		return damaged("history: batch %d has %d requests and %d outcomes", n, x.Header.Count, len(outcomes))
	}
	x.outcomes = make([]outcome, x.Header.Count)
	for i := range x.outcomes {
		x.outcomes[i] = usual
		if len(outcomes) > 0 {
			x.outcomes[i] = outcome{crypto.Status(outcomes[i] >> 1), outcomes[i]&1 == 1}
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
)

const (
	// microBytes is what the paper calls 4 KB.
	microBytes = 4096
	// tinyBytes is the longest result that counts as 0 KB: OK of kv, and any
	// position in the log.
	tinyBytes = 20
	// prepareTimeout is how long the values that are read later may take.
	prepareTimeout = 30 * time.Second
)

// micro is one of the micro-benchmarks of the PBFT paper (OSDI'99, section
// 7.2), named by the KB of an operation and of its result. The paper's service
// does nothing; ours has to touch one key per client. An operation is always
// the same one, as there.
type micro struct {
	size   int // bytes of an operation
	result int // bytes of its result, 0: at most tinyBytes
}

var micros = map[string]micro{
	"0/0": {size: len("put k0000 0")},
	"4/0": {size: microBytes},
	"0/4": {size: len("get k0000"), result: microBytes},
}

// completeMicro takes size and keys from the micro-benchmark, if it is one.
func (o *benchOptions) completeMicro() error {
	m, ok := micros[o.workload]
	switch {
	case !ok:
		return nil
	case o.sizeGiven:
		return fmt.Errorf("--size does not apply to --workload %s, whose operations have %d bytes: leave it out", o.workload, m.size)
	case o.keysGiven:
		return fmt.Errorf("--keys does not apply to --workload %s, which has one key per client: leave it out", o.workload)
	}
	o.micro, o.size, o.keys = &m, m.size, maxBenchClients // so many fit in 4 digits
	return nil
}

// operation is the one of a client, with text to fill it up.
func (m *micro) operation(client int, text []byte) []byte {
	if m.result > 0 {
		return fmt.Appendf(nil, "get k%04d", client)
	}
	op := fmt.Appendf(make([]byte, 0, m.size), "put k%04d ", client)
	return append(op, text[len(op):m.size]...)
}

// check refuses a result that is not of the size to be measured, such as an
// error that the application reports. It is called for every result; m may be
// nil.
func (m *micro) check(r *pbftclient.Result) error {
	switch {
	case m == nil:
		return nil
	case m.result > 0 && r.Gone:
		return fmt.Errorf("of a result of %d bytes only the digest is kept, want the result: raise max_cached_result or reply_bytes in the configuration", r.Size)
	case m.result > 0 && len(r.Value) != m.result:
		return fmt.Errorf("result of %d bytes, want %d: %.100q", len(r.Value), m.result, r.Value)
	case m.result == 0 && len(r.Value) > tinyBytes:
		return fmt.Errorf("result of %d bytes, want at most %d: %.100q", len(r.Value), tinyBytes, r.Value)
	}
	return nil
}

// prepare puts what the operations read, by every client at once.
func (l *load) prepare(ctx context.Context) error {
	if l.o.micro == nil || l.o.micro.result == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	value := letters(rand.New(rand.NewPCG(l.o.seed, 0)), l.o.micro.result)
	done := make(chan error, len(l.lanes)) // nobody waits for the rest after an error
	for i, x := range l.lanes {
		x.s.Go(limited, append(fmt.Appendf(nil, "put k%04d ", i), value...), func(r pbftclient.Result, err error) {
			if err == nil && !r.Gone && string(r.Value) != "OK" {
				err = fmt.Errorf("the cluster answers %.100q, want OK", r.Value)
			}
			done <- err
		})
	}
	for range l.lanes {
		err := <-done
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, new(*pbftclient.RefusedError)):
			return fmt.Errorf("putting the values of %d bytes that --workload %s reads: %w", l.o.micro.result, l.o.workload, err)
		default: // nobody has to ask what became of the put
			return coded{fmt.Errorf("putting the values of %d bytes that --workload %s reads: %w", l.o.micro.result, l.o.workload, err), exitFailed}
		}
	}
	return nil
}

package sim

import (
	"bytes"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// executed looks at a batch that a replica executed, a learner too: it must be
// the next one, and the same as everywhere.
func (k *checker) executed(h *host, x *consensus.Exec, out *execution.Output) {
	if h.liar != nil {
		return
	}
	s := &k.of[h.id]
	if x.N != s.executed+1 {
		k.fail("I2", "replica %d executes %d behind %d", h.id, x.N, s.executed)
		return
	}
	s.executed = x.N
	k.agreed(h, x.N, x.Digest, "executes")
	y := &k.history
	switch size := uint64(len(y.entries)); {
	case x.N == size+1:
		k.extend(h, x, out)
	case x.N > size+1:
		k.fail("I2", "replica %d executes %d, nobody executed %d", h.id, x.N, size+1)
		return
	}
	e := &y.entries[x.N-1]
	if x.TimeUS != e.timeUS {
		k.fail("I19", "replica %d executes %d at %d, others at %d", h.id, x.N, x.TimeUS, e.timeUS)
	}
	if got := h.engine.ExecutedRequests(); s.counted && got != e.total {
		k.fail("I3", "replica %d has executed %d operations up to %d, the model %d", h.id, got, x.N, e.total)
	}
	if hashBlocks(out.Blocks) != e.blocks {
		k.fail("I12", "replica %d answers batch %d otherwise than others", h.id, x.N)
	}
	if hashWindows(out.Executed.Windows) != e.windows {
		k.fail("I13", "replica %d reports other windows of clients at %d than others", h.id, x.N)
	}
	for i := range out.Executed.Windows {
		w := &out.Executed.Windows[i]
		if w.Low < s.windows[w.Client] {
			k.fail("I13", "replica %d: the window of %s falls to %d at %d", h.id, w.Client, w.Low, x.N)
		}
		s.windows[w.Client] = w.Low
	}
}

// extend adds a batch to the history, and holds the first execution of it
// against the model.
func (k *checker) extend(h *host, x *consensus.Exec, out *execution.Output) {
	y := &k.history
	k.cover(x)
	k.time(h, x)
	k.lasting(h, x)
	results, forged := y.run(x)
	if forged != "" {
		k.fail("I4", "batch %d executes an operation that client %s did not issue", x.N, forged)
	}
	y.entries = append(y.entries, entry{
		digest: x.Digest, timeUS: x.TimeUS, total: y.total, blocks: hashBlocks(out.Blocks), windows: hashWindows(out.Executed.Windows),
	})
	k.compareResults(h, x, out, results)
	for i := range out.Executed.Windows {
		w := &out.Executed.Windows[i]
		if !w.Gone && !y.client(w.Client).sameWindow(w, y.window) {
			k.fail("I13", "replica %d: the window of %s at %d is not the model's", h.id, w.Client, x.N)
		}
	}
}

func (k *checker) cover(x *consensus.Exec) {
	switch {
	case x.Batch == nil:
		k.w.cover.add("null batches executed")
	case requestsOf(x.Batch) == 0:
		k.w.cover.add("empty batches executed")
	default:
		k.w.cover.add("batches executed")
	}
}

// time (I19): the agreed time rises, and does not run ahead of all correct
// clocks.
func (k *checker) time(h *host, x *consensus.Exec) {
	y := &k.history
	if requestsOf(x.Batch) == 0 {
		if x.TimeUS != y.lastUS {
			k.fail("I19", "batch %d without requests has time %d, the last one had %d", x.N, x.TimeUS, y.lastUS)
		}
		return
	}
	if x.TimeUS <= y.lastUS {
		k.fail("I19", "batch %d has time %d, the one before %d", x.N, x.TimeUS, y.lastUS)
	}
	k.clockMost = max(k.clockMost, h.clock())
	if ahead := x.TimeUS - k.clockMost - maxDriftUS; ahead > int64(x.N) {
		k.fail("I19", "batch %d has a time %d us ahead of all clocks", x.N, ahead)
	}
	y.lastUS = x.TimeUS
}

// compareResults (I3, I18): the engine answers each request as the model does.
func (k *checker) compareResults(h *host, x *consensus.Exec, out *execution.Output, want []modelResult) {
	at := make([]int, len(out.Blocks))
	for i := range want {
		m := &want[i]
		for b := range out.Blocks {
			block := &out.Blocks[b]
			if block.Client != m.client || block.Session != m.session {
				continue
			}
			if at[b] == len(block.Results) || !m.same(&block.Results[at[b]]) {
				k.fail("I3", "replica %d answers request %d of %s in batch %d otherwise than the model", h.id, m.number, m.client, x.N)
			}
			at[b]++
		}
	}
}

// same reports whether an engine's result is the model's. Of a result that was
// stored before the engine may keep the digest alone.
func (m *modelResult) same(r *crypto.Result) bool {
	if r.Number != m.number || r.Status != m.status {
		return false
	}
	switch {
	case m.status == crypto.StatusExpired:
		return r.N == 0
	case r.N != m.outcome.n:
		return false
	case m.status == crypto.StatusRejected:
		return true
	case r.Tombstone:
		return r.Digest == clusterID.ValueDigest(m.outcome.value) && r.Size == uint64(len(m.outcome.value))
	}
	return bytes.Equal(r.Value, m.outcome.value)
}

func hashBlocks(blocks []execution.Block) (x uint64) {
	for i := range blocks {
		for _, b := range []byte(blocks[i].Client) {
			x = fold(x, uint64(b))
		}
		x = fold(x, blocks[i].Session)
		x = fold(x, prefix(blocks[i].Digest))
	}
	return x
}

// installed looks at a state that came from other replicas (I11, I14): it is
// certified, and ahead.
func (k *checker) installed(h *host, st *message.State) {
	if h.liar != nil {
		return
	}
	s := &k.of[h.id]
	if d := message.CheckpointDigest(clusterID, st); k.states[st.N] != d {
		k.fail("I12", "replica %d installs state %s at %d, others have %s", h.id, d, st.N, k.states[st.N])
	}
	if st.N > s.executed {
		s.executed, s.counted = st.N, false
	}
}

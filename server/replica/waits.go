package replica

import "sync"

// waits counts what must have ended before the replica lets go of its disk. It
// is a sync.WaitGroup that can refuse.
type waits struct {
	mu     sync.Mutex
	group  sync.WaitGroup
	closed bool
}

// begin reports false once wait was called.
func (w *waits) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.group.Add(1)
	}
	return !w.closed
}

func (w *waits) end() { w.group.Done() }

func (w *waits) wait() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.group.Wait()
}

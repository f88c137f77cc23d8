//go:build linux && (amd64 || arm64)

package file

import "sync"

// maxIdle is how many rings are kept for later. More are made when more writes
// run at once, and destroyed after, which takes the kernel some milliseconds.
const maxIdle = 8

// rings are this process's.
var rings ringPool

// ringPool lends rings.
type ringPool struct {
	mu   sync.Mutex
	idle []*ring
	lost []*ring // whose buffers the kernel may still read: kept, so that they are
}

// take lends a ring, which goes back by put.
func (p *ringPool) take() (*ring, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return newRing()
	}
	r := p.idle[last]
	p.idle = p.idle[:last]
	return r, nil
}

// put takes a ring back.
func (p *ringPool) put(r *ring) {
	p.mu.Lock()
	keep := true
	switch {
	case r.busy:
		p.lost = append(p.lost, r)
	case r.broken || len(p.idle) == maxIdle:
		keep = false
	default:
		p.idle = append(p.idle, r)
	}
	p.mu.Unlock()
	if !keep {
		r.destroy()
	}
}

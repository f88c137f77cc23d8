package consensus

import "fmt"

// CheckInvariants looks for a state that cannot be. It costs a walk over the
// log, so tests, the fuzzer and the simulator call it, not production. The
// numbers are those of docs/protocol.md.
func (r *Replica) CheckInvariants() error {
	L := r.c.Window
	switch {
	case r.lastExec > r.execSent || r.execSent > r.lastCommitted:
		return fmt.Errorf("I2: lastExec=%d execSent=%d lastCommitted=%d", r.lastExec, r.execSent, r.lastCommitted)
	case r.h > r.lastCommitted || r.lastCommitted > r.h+L || r.h%r.c.Interval != 0:
		return fmt.Errorf("I15: lastCommitted=%d h=%d", r.lastCommitted, r.h)
	case r.h > r.ckpt.stable.N():
		return fmt.Errorf("I14: h=%d, proven is %d", r.h, r.ckpt.stable.N())
	case r.durable > r.persist:
		return fmt.Errorf("I7: durable k%d beyond k%d", r.durable, r.persist)
	}
	fresh, wants := 0, 0
	for i := range r.slots {
		s, old := &r.slots[i], &r.tail[i]
		if old.n != 0 && (!r.inTail(old.n) || int(old.n%L) != i || old.accepted || old.p.N != 0 || len(old.q) > 0) {
			return fmt.Errorf("I15: tail slot %d holds n%d, h=%d lastExec=%d", i, old.n, r.h, r.lastExec)
		}
		if !old.want.IsZero() {
			wants++
		}
		if s.n == 0 {
			continue
		}
		if !r.inWindow(s.n) || int(s.n%L) != i {
			return fmt.Errorf("I15: slot %d holds n%d, the window is (%d, %d]", i, s.n, r.h, r.h+L)
		}
		if s.fresh() > M || len(s.q) > M*r.c.N+1 || len(s.bodies) > M*r.c.N+2 {
			return fmt.Errorf("I15: n%d has %d fresh digests and %d bodies", s.n, s.fresh(), len(s.bodies))
		}
		if s.accepted {
			b := s.body(s.digest)
			if b == nil && s.n > r.top {
				return fmt.Errorf("I25: n%d accepted %s without its body", s.n, s.digest)
			}
			if b == nil && s.prepareOK && s.digest != r.nullDigest(s.n) {
				return fmt.Errorf("I25: n%d prepared %s without its body", s.n, s.digest)
			}
			fresh += s.freshSize
		}
		if s.prepared && !s.accepted || s.commitOK && !s.prepared {
			return fmt.Errorf("I7: n%d accepted=%t prepared=%t commitOK=%t", s.n, s.accepted, s.prepared, s.commitOK)
		}
		if !s.want.IsZero() {
			wants++
		}
	}
	if fresh != r.freshBytes || wants != r.wants {
		return fmt.Errorf("I15: %d fresh bytes counted as %d, %d wants as %d", fresh, r.freshBytes, wants, r.wants)
	}
	return r.pend.checkInvariants()
}

// checkInvariants recounts what is pending.
func (p *pending) checkInvariants() error {
	requests, bytes, watched, ready := 0, 0, 0, 0
	for e := p.all.Front(); e != nil; e = e.Next() {
		g := e.Value.(*group)
		if g.open <= 0 {
			return fmt.Errorf("I15: group of %q waits for %d requests", g.client.id, g.open)
		}
		requests += g.open
		bytes += len(g.view.Raw)
		if g.watch != nil {
			watched++
		}
		if g.place != nil {
			ready += g.view.Count
		}
	}
	if requests != p.requests || bytes != p.bytes || watched != p.watched.Len() || ready != p.ready.requests {
		return fmt.Errorf("I15: pending requests %d counted as %d, bytes %d as %d, watched %d as %d, ready %d as %d",
			requests, p.requests, bytes, p.bytes, watched, p.watched.Len(), ready, p.ready.requests)
	}
	return nil
}

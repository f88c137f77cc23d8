package pbftclient

import (
	"strings"
	"time"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

const (
	// watchInterval is how often outstanding calls are looked at.
	watchInterval = 25 * time.Millisecond
	// minRetry is the least pause after a refusal.
	minRetry = 10 * time.Millisecond
	// maxBackoff bounds the doubling of Options.Retry.
	maxBackoff = 8
)

// watch ends calls whose contexts are over, and sends those that wait too long
// to all replicas.
func (c *Client) watch() {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case now := <-t.C:
			run(c.look(now))
		}
	}
}

func (c *Client) look(now time.Time) (finish []func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := false
	for _, s := range c.sessions {
		for x := s.oldest; x < s.top; x++ {
			k := s.call(x)
			switch {
			case k == nil:
			case k.ctx.Err() != nil:
				finish = append(finish, s.finish(k, Result{}, &unknownError{k.ctx.Err()}))
			case !now.Before(k.retryAt):
				s.retry(k, now)
				late = late || k.wait > 2*c.o.Retry
			}
		}
		finish = s.lookQueries(finish, now)
	}
	if late {
		// Whoever sends results in full may be the one that is late.
		c.source = (c.source + 1) % len(c.conns)
		for _, k := range c.conns {
			k.reopen()
		}
	}
	return finish
}

// retry sends a call to all replicas.
func (s *Session) retry(k *call, now time.Time) {
	k.retried = true
	k.retryAt = now.Add(k.wait)
	k.wait = min(2*k.wait, maxBackoff*s.c.o.Retry)
	for _, conn := range s.c.conns {
		if conn.up {
			conn.resend = append(conn.resend, resend{s, k})
			conn.wakeUp()
		}
	}
}

func reasonName(r pbftv1.RefusalReason) string {
	return strings.TrimPrefix(r.String(), "REFUSAL_REASON_")
}

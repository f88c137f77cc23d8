package transport

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbft-go/pbft/server/message"
)

func numbers(entries []entry) (out []uint64) {
	for _, e := range entries {
		switch m := e.msg.(type) {
		case *message.Prepare:
			out = append(out, m.N)
		case *message.PrePrepare:
			out = append(out, m.View)
		}
	}
	return out
}

func TestOutboxKeepsOrderAcrossClasses(t *testing.T) {
	o := newOutbox(new(atomic.Uint64))
	for i := range uint64(1000) {
		if i%3 == 0 {
			o.put(&message.PrePrepare{View: i}, 5)
		} else {
			o.put(&message.Prepare{N: i}, 5)
		}
	}
	_, taken := o.take(nil)
	for i, n := range numbers(taken) {
		if n != uint64(i) {
			t.Fatalf("message %d at place %d", n, i)
		}
	}
	if len(taken) != 1000 || o.queued() != 0 {
		t.Errorf("%d taken, %d bytes left", len(taken), o.queued())
	}
}

func TestFullClassDropsItsOldestMessages(t *testing.T) {
	var dropped atomic.Uint64
	o := newOutbox(&dropped)
	o.put(&message.PrePrepare{View: 99}, 10)
	const size = 1 << 20
	for i := range uint64(20) {
		o.put(&message.Prepare{N: i}, size)
	}
	if dropped.Load() != 12 || o.queued() != maxQueued[control]+10 {
		t.Errorf("%d dropped, %d bytes left", dropped.Load(), o.queued())
	}
	_, taken := o.take(nil)
	if got := numbers(taken); got[0] != 99 || got[1] != 12 {
		t.Errorf("left are %v", got)
	}
}

func TestFrameIsClosedAtItsSize(t *testing.T) {
	o := newOutbox(new(atomic.Uint64))
	for i := range uint64(5) {
		o.put(&message.PrePrepare{View: i}, maxFrame/2)
	}
	o.put(&message.PrePrepare{View: 5}, maxFrame+1) // alone in its frame
	o.put(&message.Prepare{N: 6}, 1)
	var buf []entry
	for _, want := range []int{2, 2, 1, 1, 1, 0} {
		if _, buf = o.take(buf); len(buf) != want {
			t.Fatalf("%d messages in a frame, want %d", len(buf), want)
		}
	}
}

func TestUrgentFieldsComeFirstAndAreBounded(t *testing.T) {
	o := newOutbox(new(atomic.Uint64))
	o.put(&message.Prepare{}, 5)
	for range maxUrgent {
		o.putUrgent([]byte("pong"))
	}
	urgent, taken := o.take(nil)
	if string(urgent) != strings.Repeat("pong", maxUrgent/4) || len(taken) != 1 {
		t.Errorf("%d bytes urgent, %d messages", len(urgent), len(taken))
	}
	if urgent, taken = o.take(nil); len(urgent)+len(taken) > 0 {
		t.Errorf("%q, %d messages are left", urgent, len(taken))
	}
}

func TestOutboxReusesItsMemory(t *testing.T) {
	o := newOutbox(new(atomic.Uint64))
	m := &message.Prepare{}
	var buf []entry
	o.put(m, 1) // one always waits: the queue is never empty
	n := testing.AllocsPerRun(10_000, func() {
		o.put(m, maxFrame)
		_, buf = o.take(buf)
	})
	if n != 0 || cap(o.queues[control].entries) > 16 {
		t.Errorf("%v allocations, room for %d", n, cap(o.queues[control].entries))
	}
}

func TestLogLinesAreLimited(t *testing.T) {
	var l limiter
	now := time.Unix(1_700_000_000, 0)
	allowed := func(times int) (lines, hidden int) {
		for range times {
			if h, ok := l.allow(now); ok {
				lines, hidden = lines+1, hidden+h
			}
		}
		return lines, hidden
	}
	if lines, _ := allowed(100); lines != logBurst {
		t.Errorf("%d lines at once", lines)
	}
	now = now.Add(logEvery)
	if lines, hidden := allowed(100); lines != 1 || hidden != 100-logBurst {
		t.Errorf("%d lines after a pause, %d reported as left out", lines, hidden)
	}
	now = now.Add(time.Hour)
	if lines, _ := allowed(100); lines != logBurst {
		t.Errorf("%d lines after an hour", lines)
	}
}

func TestLinkThatDoesNotAnswerAPingIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink(&peer{}, "", nil)
		l.ponged(1) // made up
		if l.answers() {
			t.Error("nobody answered")
		}
		go l.close(errStopping)
		if l.answers() {
			t.Error("a closed link answered")
		}
	})
}

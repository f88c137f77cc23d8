package transport

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	logBurst = 5               // lines of one kind that may come at once
	logEvery = 5 * time.Second // and then one more per interval
)

// limiter bounds how often one kind of line is logged. The zero value is
// ready.
type limiter struct {
	mu     sync.Mutex
	full   time.Time // when the whole burst is there again
	hidden int       // lines left out since the last one
}

// allow reports whether a line may be logged, and how many were left out
// before it.
func (l *limiter) allow(now time.Time) (hidden int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Before(now) {
		l.full = now
	}
	if l.full.Sub(now) > (logBurst-1)*logEvery {
		l.hidden++
		return 0, false
	}
	l.full = l.full.Add(logEvery)
	hidden, l.hidden = l.hidden, 0
	return hidden, true
}

// say logs a line unless too many of its kind were logged.
func (l *limiter) say(log *slog.Logger, level slog.Level, msg string, args ...any) {
	hidden, ok := l.allow(time.Now())
	if !ok {
		return
	}
	if hidden > 0 {
		args = append(args, "left_out", hidden)
	}
	log.Log(context.Background(), level, msg, args...)
}

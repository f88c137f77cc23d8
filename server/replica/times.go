package replica

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	turnsDesc = prometheus.NewDesc("pbft_turn_seconds", "Turns of the main loop.", nil, nil)
	syncsDesc = prometheus.NewDesc("pbft_sync_seconds", "Appends to the log of promises, with their syncs.", nil, nil)
)

// timeClasses is how many classes of times there are: up to 16 us, 32 us, and so
// on to 8 s, and longer ones.
const (
	timeClasses   = 21
	shortestClass = 16 * time.Microsecond
)

// times is a histogram of durations. One goroutine notes, any may read.
type times struct {
	counts [timeClasses]atomic.Uint64
	sumUS  atomic.Uint64
	worst  atomic.Int64 // nanoseconds
}

func (t *times) note(d time.Duration) {
	class := bits.Len64(uint64(max(d-1, 0) / shortestClass))
	t.counts[min(class, timeClasses-1)].Add(1)
	t.sumUS.Add(uint64(d.Microseconds()))
	if int64(d) > t.worst.Load() {
		t.worst.Store(int64(d))
	}
}

// longest is the longest one since the start.
func (t *times) longest() time.Duration { return time.Duration(t.worst.Load()) }

func (t *times) metric(desc *prometheus.Desc) prometheus.Metric {
	buckets := make(map[float64]uint64, timeClasses)
	var up uint64
	for i := range timeClasses - 1 {
		up += t.counts[i].Load()
		buckets[(shortestClass << i).Seconds()] = up
	}
	up += t.counts[timeClasses-1].Load()
	return prometheus.MustNewConstHistogram(desc, up, float64(t.sumUS.Load())/1e6, buckets)
}

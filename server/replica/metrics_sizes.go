package replica

import (
	"math/bits"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbft-go/pbft/server/consensus"
)

// maxSizes is one more than the logarithm to base 4 of the largest max_batch.
const maxSizes = 11

// batchSizes counts executed batches by their requests: entry i has those with
// at most 4^i requests that are in no entry before it. It belongs to the
// executor's goroutine.
type batchSizes struct {
	batches  [maxSizes]uint64
	requests uint64
}

// note counts a batch; the null batch has no requests.
func (s *batchSizes) note(e *consensus.Exec) {
	n := uint32(0)
	if e.Batch != nil {
		n = e.Batch.Header.Count
	}
	s.batches[sizeClass(n)]++
	s.requests += uint64(n)
}

// sizeClass is the least i with n <= 4^i.
func sizeClass(n uint32) int {
	if n <= 1 {
		return 0
	}
	return min((bits.Len32(n-1)+1)/2, maxSizes-1)
}

// count is the number of batches.
func (s *batchSizes) count() (n uint64) {
	for _, b := range s.batches {
		n += b
	}
	return n
}

var batchSizesDesc = prometheus.NewDesc("pbft_batch_size_requests",
	"Requests of the batches executed since the start, duplicates among them.", nil, nil)

func (s *batchSizes) metric() prometheus.Metric {
	buckets := make(map[float64]uint64, maxSizes)
	var up uint64
	for i, b := range s.batches {
		up += b
		buckets[float64(uint64(1)<<(2*i))] = up
	}
	return prometheus.MustNewConstHistogram(batchSizesDesc, s.count(), float64(s.requests), buckets)
}

package replica

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/transport"
)

// askTimeout bounds how long a scrape waits for the loop, and then for the
// executor. What does not answer in time is left out of that scrape.
const askTimeout = time.Second

// metrics is the replica as Prometheus sees it. Nothing is counted for it that
// is not counted anyway: a scrape reads what there is. Like GetStatus it asks
// the loop and the executor, and never makes them wait.
type metrics struct {
	r       *Replica
	timeout time.Duration // askTimeout
}

// scrape is what one scrape found.
type scrape struct {
	r *Replica

	view   uint64
	status message.ReplicaStatus
	ready  bool
	inbox  inboxFigures

	totals                  map[string]uint64 // by the names of eventLog.counters
	rejected, equivocations []uint64          // by peer
	peers                   []transport.PeerState
	logBytes                int64
	stateBytes              uint64
	tasks, questions        int // that wait for the executor, the latter among the former

	loopAnswered bool // the next two are known
	info         consensus.Info
	windowFull   time.Duration

	executorAnswered bool // the next one is known
	executor         executorFigures
}

// executorFigures belong to the executor's goroutine.
type executorFigures struct {
	requests, historyFirst uint64
	saved                  uint64
	clients                int
	sizes                  batchSizes
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for i := range families {
		to <- families[i].desc
	}
	to <- batchSizesDesc
	to <- turnsDesc
	to <- syncsDesc
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	s := m.scrape()
	for i := range families {
		f := &families[i]
		if f.needs == theLoop && !s.loopAnswered || f.needs == theExecutor && !s.executorAnswered {
			continue
		}
		f.read(s, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
	to <- m.r.turns.metric(turnsDesc)
	to <- m.r.syncs.metric(syncsDesc)
	if s.executorAnswered {
		to <- s.executor.sizes.metric()
	}
}

// scrape reads everything. What needs nobody's answer comes first: the scrape
// itself must not show in the queues.
func (m *metrics) scrape() *scrape {
	r := m.r
	s := &scrape{
		r: r, view: r.view.Load(), status: message.ReplicaStatus(r.status.Load()), ready: (*backend)(r).Ready() == nil,
		inbox: r.inbox.figures(), peers: r.transport.Peers(),
	}
	s.totals, s.rejected, s.equivocations = r.events.counters(len(r.cfg.Nodes))
	s.tasks, s.questions = r.exec.waiting()
	if d := r.disk; d != nil {
		s.logBytes, s.stateBytes = d.store.LogBytes(), d.store.State.DiskUsage()
	}
	s.loopAnswered = m.askLoop(s)
	s.executorAnswered = m.askExecutor(s)
	return s
}

func (m *metrics) askLoop(s *scrape) bool {
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	defer cancel()
	// A late answer must not meet a reader: it goes into variables of its own.
	var info consensus.Info
	var full time.Duration
	if m.r.inspect(ctx, func() { info, full = m.r.core.Info(), m.r.window.full }) != nil {
		return false
	}
	s.info, s.windowFull = info, full
	return true
}

func (m *metrics) askExecutor(s *scrape) bool {
	ctx, cancel := context.WithTimeout(context.Background(), m.timeout)
	defer cancel()
	x := m.r.exec
	got, err := askWait(ctx, x, func(e *execution.Engine) executorFigures {
		return executorFigures{requests: e.ExecutedRequests(), historyFirst: e.HistoryFirst(), saved: e.SavedN(), clients: e.Clients(), sizes: x.sizes}
	})
	s.executor = got
	return err == nil
}

package replica

import (
	"runtime"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/transport"
)

// family is one name with its help, and where its values come from.
type family struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	needs asked
	read  func(s *scrape, put func(value float64, labels ...string))
}

// asked is whose answer a family needs.
type asked uint8

const (
	nobody asked = iota
	theLoop
	theExecutor
)

func gauge(needs asked, name, help string, read func(*scrape) float64) family {
	return alone(prometheus.GaugeValue, needs, name, help, read)
}

func counter(needs asked, name, help string, read func(*scrape) float64) family {
	return alone(prometheus.CounterValue, needs, name, help, read)
}

func alone(kind prometheus.ValueType, needs asked, name, help string, read func(*scrape) float64) family {
	return family{prometheus.NewDesc(name, help, nil, nil), kind, needs, func(s *scrape, put func(float64, ...string)) { put(read(s)) }}
}

// counted is a counter of eventLog.
func counted(name, help, key string) family {
	return counter(nobody, name, help, func(s *scrape) float64 { return float64(s.totals[key]) })
}

// labelled is a family of one value per value of a label.
func labelled(kind prometheus.ValueType, name, help, label string, read func(s *scrape, put func(float64, ...string))) family {
	return family{prometheus.NewDesc(name, help, []string{label}, nil), kind, nobody, read}
}

// ofPeers is a family of one value per peer.
func ofPeers(kind prometheus.ValueType, name, help string, read func(*scrape, *transport.PeerState) float64) family {
	return labelled(kind, name, help, "peer", func(s *scrape, put func(float64, ...string)) {
		for i := range s.peers {
			put(read(s, &s.peers[i]), strconv.Itoa(s.peers[i].Index))
		}
	})
}

// families is every figure but the sizes of batches. docs/operations.md says
// what is normal, and a test holds the two together.
var families = slices.Concat(identity, progress, disks, changes, faults, queues)

var identity = []family{
	{
		prometheus.NewDesc("pbft_build_info", "1, labelled by the program's version and Go's.", []string{"version", "goversion"}, nil),
		prometheus.GaugeValue, nobody,
		func(s *scrape, put func(float64, ...string)) { put(1, s.r.o.Version, runtime.Version()) },
	},
	gauge(nobody, "pbft_replicas", "Replicas of the cluster, n.", func(s *scrape) float64 { return float64(len(s.r.cfg.Nodes)) }),
	gauge(nobody, "pbft_quorum", "Replicas that must take part for anything to be ordered.",
		func(s *scrape) float64 { return float64(consensus.Quorum(len(s.r.cfg.Nodes))) }),
	labelled(prometheus.GaugeValue, "pbft_scrape_answered",
		"Whether the loop and the executor answered this scrape in time. The figures of one that did not are left out.", "part",
		func(s *scrape, put func(float64, ...string)) {
			put(truth(s.loopAnswered), "loop")
			put(truth(s.executorAnswered), "executor")
		}),
	labelled(prometheus.GaugeValue, "pbft_status", "1 for the replica's status, 0 for the others.", "status",
		func(s *scrape, put func(float64, ...string)) {
			for k := message.Starting; k <= message.Halted; k++ {
				put(truth(k == s.status), k.String())
			}
		}),
	gauge(nobody, "pbft_ready", "Whether the replica orders requests now, as /readyz says.", func(s *scrape) float64 { return truth(s.ready) }),
}

var progress = []family{
	gauge(nobody, "pbft_view", "The replica's view.", func(s *scrape) float64 { return float64(s.view) }),
	gauge(theLoop, "pbft_low_watermark", "Number of the last stable checkpoint, h.",
		func(s *scrape) float64 { return float64(s.info.LowWatermark) }),
	gauge(theLoop, "pbft_high_watermark", "Highest number that may be proposed, h + L.",
		func(s *scrape) float64 { return float64(s.info.LowWatermark + uint64(s.r.cfg.Window())) }),
	gauge(theLoop, "pbft_last_committed", "Everything up to this number is known to be committed.",
		func(s *scrape) float64 { return float64(s.info.LastCommitted) }),
	gauge(theLoop, "pbft_last_executed", "Number of the last executed batch.",
		func(s *scrape) float64 { return float64(s.info.LastExecuted) }),
	gauge(theLoop, "pbft_lag_batches", "Batches that f+1 peers say they executed, or a certificate covers, and that are not executed here.",
		func(s *scrape) float64 { return float64(lag(&s.info, s.r.o.Index, s.r.cfg.F())) }),
	counter(theLoop, "pbft_window_full_seconds_total", "Time in which requests waited while all numbers up to the high watermark were used up.",
		func(s *scrape) float64 { return s.windowFull.Seconds() }),
	gauge(theLoop, "pbft_installing_checkpoint", "Checkpoint whose state is being fetched from other replicas, 0: none.",
		func(s *scrape) float64 { return float64(s.info.Installing) }),
	counted("pbft_states_installed_total", "States of checkpoints that were taken over from other replicas.", "states_installed"),
	counted("pbft_stable_checkpoints_total", "Checkpoints that became stable.", "stable_checkpoints"),
	counter(theExecutor, "pbft_executed_requests_total", "Requests executed, duplicates left out.",
		func(s *scrape) float64 { return float64(s.executor.requests) }),
	counter(theExecutor, "pbft_executed_batches_total", "Batches executed since the start.",
		func(s *scrape) float64 { return float64(s.executor.sizes.count()) }),
	gauge(theExecutor, "pbft_clients", "Clients that the client table remembers.",
		func(s *scrape) float64 { return float64(s.executor.clients) }),
	gauge(theExecutor, "pbft_history_first", "Number of the oldest batch kept in the history.",
		func(s *scrape) float64 { return float64(s.executor.historyFirst) }),
}

var disks = []family{
	gauge(theExecutor, "pbft_saved", "Number of the newest state on disk; with durability memory 0.",
		func(s *scrape) float64 { return float64(s.executor.saved) }),
	gauge(nobody, "pbft_log_bytes", "Bytes of the log of promises on disk.", func(s *scrape) float64 { return float64(s.logBytes) }),
	gauge(nobody, "pbft_state_bytes", "Bytes of the state and the history on disk.", func(s *scrape) float64 { return float64(s.stateBytes) }),
}

var changes = []family{
	labelled(prometheus.CounterValue, "pbft_view_changes_total", "View changes that this replica asked for, by cause.", "cause",
		func(s *scrape, put func(float64, ...string)) {
			for k := consensus.NoProgress; k <= consensus.Draining; k++ {
				put(float64(s.totals["view_changes:"+k.String()]), k.String())
			}
		}),
	counted("pbft_new_views_total", "Views installed.", "new_views"),
	counted("pbft_stalls_total", "Times that nothing was executed for half of view_change_timeout while something waited.", "soft_expiries"),
	counter(nobody, "pbft_complaints_total", "Complaints about the primary that clients sent here.",
		func(s *scrape) float64 { return float64(s.r.complaints.Load()) }),
}

var faults = []family{
	labelled(prometheus.CounterValue, "pbft_rejected_messages_total", "Messages of peers that were rejected, by reason.", "reason", putRejected),
	ofPeers(prometheus.CounterValue, "pbft_peer_rejected_messages_total", "Messages that were rejected, by the peer that sent them.",
		func(s *scrape, p *transport.PeerState) float64 { return float64(s.rejected[p.Index] + p.Rejected) }),
	ofPeers(prometheus.CounterValue, "pbft_peer_equivocations_total", "Times that a peer contradicted itself.",
		func(s *scrape, p *transport.PeerState) float64 { return float64(s.equivocations[p.Index]) }),
	counted("pbft_divergences_total", "Checkpoints at which the own state differed from what a quorum certified.", "diverged"),
	counted("pbft_splits_total", "Checkpoints at which n-f replicas voted and no quorum voted alike.", "splits"),
	counted("pbft_clock_skews_total", "Proposals whose time was further than max_drift from the own clock.", "clock_skew"),
	labelled(prometheus.CounterValue, "pbft_refused_groups_total", "Groups of clients' requests that were not admitted, by reason.", "reason",
		func(s *scrape, put func(float64, ...string)) {
			for _, name := range reasons {
				if n := s.totals["refused:"+name]; n > 0 || slices.Contains(refusals, name) {
					put(float64(n), name)
				}
			}
		}),
}

var queues = []family{
	labelled(prometheus.GaugeValue, "pbft_inbox_items", "What waits for the loop, by where it came from: frames of peers, groups of clients, own inputs.", "class",
		func(s *scrape, put func(float64, ...string)) {
			put(float64(s.inbox.peers.items), "peers")
			put(float64(s.inbox.clients.items), "clients")
			put(float64(s.inbox.own), "own")
		}),
	labelled(prometheus.GaugeValue, "pbft_inbox_bytes", "Bytes that wait for the loop, by where they came from.", "class",
		func(s *scrape, put func(float64, ...string)) {
			put(float64(s.inbox.peers.bytes), "peers")
			put(float64(s.inbox.clients.bytes), "clients")
		}),
	gauge(theLoop, "pbft_pending_requests", "Requests admitted here or relayed to here that are not executed.",
		func(s *scrape) float64 { return float64(s.info.Pending) }),
	gauge(theLoop, "pbft_pending_bytes", "Bytes of the groups of these requests.",
		func(s *scrape) float64 { return float64(s.info.PendingBytes) }),
	gauge(nobody, "pbft_executor_tasks", "Batches and questions that wait for the executor, what it works on left out.",
		func(s *scrape) float64 { return float64(s.tasks) }),
	gauge(nobody, "pbft_executor_questions", "Questions of clients and peers among these.",
		func(s *scrape) float64 { return float64(s.questions) }),
	ofPeers(prometheus.GaugeValue, "pbft_peer_connected", "Whether there is a link to the peer.",
		func(_ *scrape, p *transport.PeerState) float64 { return truth(p.Connected) }),
	ofPeers(prometheus.GaugeValue, "pbft_peer_outbox_bytes", "Bytes of the messages that wait to be sent to the peer.",
		func(_ *scrape, p *transport.PeerState) float64 { return float64(p.QueuedBytes) }),
	ofPeers(prometheus.CounterValue, "pbft_peer_dropped_messages_total", "Messages for the peer that were dropped: its outbox was full, or they were too large to send.",
		func(_ *scrape, p *transport.PeerState) float64 { return float64(p.Dropped) }),
}

// reasons are the names of the core's reasons, rejections those of all reasons
// for a peer's message: the transport refuses some before the core sees them.
// refusals are usual for clients' groups, and shown while they are 0.
var (
	reasons    = names(consensus.NotReady)
	rejections = union(reasons, names(transport.Malformed))
	refusals   = names(consensus.NotReady)[:consensus.BadRequest]
)

// names lists the names of reasons from the first one on.
func names[R interface {
	~uint8
	String() string
}](first R) (out []string) {
	for r := first; r.String() != "unknown"; r++ {
		out = append(out, r.String())
	}
	return out
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func putRejected(s *scrape, put func(float64, ...string)) {
	byTransport := make(map[string]uint64)
	for i := range s.peers {
		for reason, n := range s.peers[i].Reasons {
			byTransport[reason.String()] += n
		}
	}
	for _, name := range rejections {
		put(float64(s.totals["rejected:"+name]+byTransport[name]), name)
	}
}

// truth is a yes or no as Prometheus has it.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

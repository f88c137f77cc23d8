package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Violation is a promise of docs/protocol.md that a run broke.
type Violation struct {
	Invariant string // I1 to I27, L1 to L7
	Text      string
	At        int64 // microseconds since the start
}

func (v Violation) String() string { return fmt.Sprintf("%s at %s: %s", v.Invariant, us(v.At), v.Text) }

// checker holds what all correct replicas and clients do against the
// invariants. It never asks the replicas what they think: it is told what they
// send, persist and execute.
type checker struct {
	w          *world
	ignore     []string
	violations []Violation

	faulty uint64          // replicas that lie or lost their memory, one bit each
	said   map[uint64]said // by number: what was voted there
	of     []replicaState  // by replica

	history history
	decided map[uint64]crypto.Digest // by number: what is committed
	states  map[uint64]crypto.Digest // by number: the digest of the state
	proven  map[uint64]crypto.Digest // by number: what a certificate says

	prepared  map[uint64][]preparedBy        // by number: what is durably prepared
	newViews  map[*message.NewView]*decision // decided by the checker itself
	accepted  uint64                         // the highest position that a client knows of
	clockMost int64                          // the highest time that a correct clock has shown
	turns     int
}

func newChecker(w *world, ignore []string) *checker {
	k := &checker{
		w: w, ignore: ignore, said: map[uint64]said{}, of: make([]replicaState, w.plan.N),
		decided: map[uint64]crypto.Digest{}, states: map[uint64]crypto.Digest{}, proven: map[uint64]crypto.Digest{},
		prepared: map[uint64][]preparedBy{}, newViews: map[*message.NewView]*decision{},
	}
	for _, l := range w.plan.Liars {
		k.faulty |= 1 << l.Replica
	}
	k.history.init(w.plan)
	return k
}

// maxViolations ends a run: what comes later follows from them, mostly.
const maxViolations = 4

// fail notes a violation.
func (k *checker) fail(invariant, format string, args ...any) {
	v := Violation{Invariant: invariant, Text: fmt.Sprintf(format, args...), At: k.w.now}
	k.w.trace.line(k.w, "VIOLATION %s: %s", v.Invariant, v.Text)
	if slices.ContainsFunc(k.ignore, func(s string) bool { return strings.Contains(v.String(), s) }) {
		k.w.cover.add("ignored violations of " + invariant)
		return
	}
	k.violations = append(k.violations, v)
	if len(k.violations) >= maxViolations {
		k.w.done = true
	}
}

// replicaState is what the checker knows of one replica: of all its lives if it
// has a disk.
type replicaState struct {
	ledger                                // what is durable
	life      int                         // the present one
	sentAsked uint64                      // highest own view change that it sent
	last      uint64                      // view, last seen
	status    message.Status              // the last one that it sent
	executed  uint64                      // last number
	counted   bool                        // all of it was executed here
	bodies    map[crypto.Digest]bool      // recorded batches
	waiting   []batchOfRecords            // what is not durable yet
	proposed  map[[2]uint64]crypto.Digest // by view and number
	newViews  map[uint64]*message.NewView // by view, those of its records: one turn may hold several
	saw       uint64                      // replicas of which it got a vote, one bit each
	sawBy     uint64                      // at its loss: correct replicas that had got a vote of it, and can tell
	windows   map[string]uint64           // low by client
	certified uint64                      // newest certificate
	released  uint64                      // what its log has given up
	silent    bool                        // it must not vote any more, and what was under way has left
	mute      bool                        // likewise, from the beginning of its life
}

// batchOfRecords waits to become durable.
type batchOfRecords struct {
	k       consensus.PersistID
	records []consensus.Record
}

// started begins a life of a replica that knows nothing.
func (k *checker) started(h *host) {
	s := &k.of[h.id]
	*s = replicaState{
		ledger: newLedger(), life: h.life, sawBy: s.sawBy, counted: true,
		bodies: map[crypto.Digest]bool{}, proposed: map[[2]uint64]crypto.Digest{}, windows: map[string]uint64{},
	}
}

// lost notes that a replica lost all that it promised.
func (k *checker) lost(h *host) {
	k.faulty |= 1 << h.id
	s := &k.of[h.id]
	s.sawBy = 0
	for _, o := range k.w.hosts {
		if o != h && o.correct() && k.of[o.id].saw&(1<<h.id) != 0 {
			s.sawBy |= 1 << o.id
		}
	}
}

// correct reports whether votes of the replica count as those of a correct one.
func (k *checker) correct(replica int) bool { return k.faulty&(1<<replica) == 0 }

// refused notes that a channel refused a message: a correct replica sends none
// that is invalid by itself.
func (k *checker) refused(h *host, from int, err error) {
	k.w.cover.add("messages refused by channels")
	if k.w.hosts[from].liar == nil {
		k.fail("I26", "replica %d sent what replica %d must refuse: %v", from, h.id, err)
	}
}

// blamed notes that a replica blames others for what they sent of their state:
// it must be liars.
func (k *checker) blamed(h *host, err error) {
	k.w.cover.add("states refused")
	if h.liar == nil && len(k.w.plan.Liars) == 0 {
		k.fail("I26", "replica %d blames a correct one: %v", h.id, err)
	}
}

// halted (I17): no correct replica halts for a contradiction.
func (k *checker) halted(h *host, why string) {
	k.w.cover.add("halts")
	if h.liar == nil {
		k.fail("I17", "replica %d halts: %s", h.id, why)
	}
}

// untouched (I26): messages are shared by all who hold them, so nobody may
// change one.
func (k *checker) untouched() {
	v := k.w.verifier
	changed := 0
	for d, m := range v.changes { //maporder: counts
		if m.Digest(clusterID) != d {
			changed++
		}
	}
	for _, b := range v.batches { //maporder: counts
		if b == nil {
			continue
		}
		if again, err := message.ParseBatch(clusterID, v.limits, b.Header, b.Body); err != nil || again.Digest != b.Digest {
			changed++
		}
	}
	if changed > 0 {
		k.fail("I26", "%d messages changed after they were sent", changed)
	}
}

// turned looks at a replica after a turn (I14, I15): its view never falls, and
// its own invariants hold.
func (k *checker) turned(h *host) {
	if h.liar != nil {
		return
	}
	s := &k.of[h.id]
	s.silent = s.lost
	if v := h.core.View(); v < s.last {
		k.fail("I14", "replica %d was in view %d and is in view %d", h.id, s.last, v)
	} else if v > s.last {
		s.last = v
		k.invariants(h)
	}
	if k.turns++; k.turns%32 == 0 {
		k.invariants(h)
	}
	k.clockMost = max(k.clockMost, h.clock())
}

func (k *checker) invariants(h *host) {
	if err := h.core.CheckInvariants(); err != nil {
		k.fail("I15", "replica %d: %v", h.id, err)
	}
}

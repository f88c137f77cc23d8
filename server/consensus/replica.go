package consensus

import (
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// SignFunc signs tag || cluster id || canonical with the replica's key. It is
// a pure function: Ed25519 needs no randomness.
type SignFunc func(tag crypto.Tag, canonical []byte) [crypto.SignatureSize]byte

// Replica is the state of one replica. Its numbers obey, at every moment,
//
//	lastExec <= execSent <= lastCommitted
//	h <= lastCommitted <= h+L
//
// which CheckInvariants asserts in tests and simulations. A replica whose
// lastExec lies below h is behind: see catchup.go.
type Replica struct {
	c    Config
	f, q int
	sign SignFunc
	out  *Effects // of the present step

	status message.ReplicaStatus
	view   uint64
	top    uint64 // highest number that the last new view decided

	persist PersistID // number of the newest batch of records
	durable PersistID
	waiting []promise // own promises whose records are not durable yet, oldest first

	h             uint64 // low watermark: the last stable checkpoint
	slots         []slot // of the window (h, h+L], n at n mod L
	tail          []slot // of what is stable and not executed here, (lastExec, lastExec+L] up to h, n at n mod L
	freshBytes    int    // of fresh bodies above h in the present view
	lastProposed  uint64
	lastCommitted uint64 // everything up to it is known to be committed; what h covers is, unseen
	execSent      uint64 // last number given to execution
	lastExec      uint64
	lastTimeUS    int64  // agreed time of the last batch with requests, up to execSent
	highest       uint64 // nothing is known of any number above it
	due           uint64 // highest number that should be executed: accepted, vouched for or committed
	wants         int    // slots that wait for a body

	ckpt    checkpoints
	pend    pending
	views   views
	catchUp catchUp

	tick    uint64
	wallUS  int64
	timers  timers
	probe   probe
	peers   []peer
	started PersistID // the record that this replica proposed, 0: it did not
	restart restart
}

// peer is what a replica remembers of another.
type peer struct {
	heardAt           uint64 // tick of its last message
	seen              bool   // a vote of it was seen in this epoch
	answered          bool   // it answered the question of 5.6
	seenMe            bool   // and saw a vote of this replica
	sawLost           bool   // and holds one that this replica does not know of
	highest           message.PQ
	highestViewChange uint64
	status            message.Status // the last one
	statusAt          uint64         // tick of the last status sent because it asked
	budget            int            // bytes left for answers in this interval
	budgetAt          uint64         // tick at which the interval began
	requests          int            // its relays that are pending
	bytes             int
	watched           int    // those of them with the flag watch
	fetchedAt         uint64 // tick at which a certificate was asked of it
}

// New makes a replica in view 0 with nothing ordered.
func New(c Config, sign SignFunc) (*Replica, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Replica{
		c: c, f: MaxFaulty(c.N), q: Quorum(c.N), sign: sign,
		status: message.Normal,
		slots:  make([]slot, c.Window),
		tail:   make([]slot, c.Window),
		peers:  make([]peer, c.N),
	}
	for i := range r.slots {
		r.slots[i].init(c.N)
		r.tail[i].init(c.N)
	}
	r.views.held = make([]heldViewChange, c.N)
	r.views.work = make([]*assembly, c.N)
	r.ckpt.init(&r.c)
	r.pend.init(&r.c)
	r.timers.second = 10 * c.RetryFirst // the first repetition comes after 100 ms
	if c.Fresh && c.N > 1 {
		r.status = message.Starting
	}
	for i := range r.peers {
		r.peers[i].budget = c.StatusBudget
	}
	return r, nil
}

// Step takes one input and appends its effects to out. The same inputs give
// the same effects, byte for byte.
func (r *Replica) Step(in *Input, out *Effects) {
	r.out = out
	if r.status == message.Halted {
		return
	}
	switch in.Kind {
	case InMessage:
		r.onMessage(in.From, in.Msg)
	case InRequest:
		r.onRequest(in)
	case InTick:
		r.onTick(in.Tick, in.WallUS)
	case InDurable:
		r.onDurable(in.K)
	case InExecuted:
		r.onExecuted(in.Executed)
	case InCheckpointReady:
		r.onCheckpointReady(in.State)
	case InStart:
		r.onStart()
	case InStateInstalled:
		r.onStateInstalled(in.State, in.Executed.Windows)
	case InFlush:
		r.propose()
	case InComplaint:
		r.onComplaint()
	case InDrain:
		if r.isPrimary() {
			r.suspect(Draining)
		}
	case InConnected:
		if int(in.From) < r.c.N && in.From != r.c.Self {
			r.sendStatusTo(int(in.From), true)
		}
	}
	r.out = nil
}

func (r *Replica) onMessage(from message.ReplicaID, m message.Message) {
	if int(from) >= r.c.N || from == r.c.Self {
		r.event(Event{Kind: EvRejected, Replica: from, Reason: FromSelf})
		return
	}
	r.peers[from].heardAt = r.tick
	switch m := m.(type) {
	case *message.PrePrepare:
		r.onPrePrepare(from, m)
	case *message.Prepare:
		r.onPrepare(from, m)
	case *message.Commit:
		r.onCommit(from, m)
	case *message.Checkpoint:
		r.onCheckpoint(from, m)
	case *message.StableCertificate:
		r.onStableCertificate(from, m)
	case *message.Status:
		r.onStatus(from, m)
	case *message.Relay:
		r.onRelay(from, m)
	case *message.FetchBody:
		r.onFetchBody(from, m)
	case *message.Body:
		r.onBody(from, m)
	case *message.FetchCommitted:
		r.onFetchCommitted(from, m)
	case *message.Committed:
		r.onCommittedClaims(from, m)
	case *message.FetchCertificate:
		r.onFetchCertificate(from, m)
	case *message.ViewChange:
		r.onViewChange(from, m)
	case *message.NewView:
		r.onNewView(from, m)
	case *message.FetchViewChange:
		r.onFetchViewChange(from, m)
	default:
		r.reject(from, NotSupported, 0)
	}
}

// View is the present view.
func (r *Replica) View() uint64 { return r.view }

// Info is what status pages show of a replica.
type Info struct {
	View, LowWatermark, LastExecuted, LastCommitted uint64
	Installing                                      uint64 // checkpoint whose state is being fetched, 0: none
	Status                                          message.ReplicaStatus
	Pending, PendingBytes                           int
	Peers                                           []message.Status // the last one of each
}

// Info copies the replica's figures.
func (r *Replica) Info() Info {
	i := Info{
		View: r.view, LowWatermark: r.h, LastExecuted: r.lastExec, LastCommitted: r.lastCommitted,
		Installing: r.catchUp.installing,
		Status:     r.status, Pending: r.pend.requests, PendingBytes: r.pend.bytes,
		Peers: make([]message.Status, r.c.N),
	}
	for p := range r.peers {
		i.Peers[p] = r.peers[p].status
	}
	return i
}

func (r *Replica) normal() bool    { return r.status == message.Normal }
func (r *Replica) isPrimary() bool { return Primary(r.view, r.c.N) == int(r.c.Self) }
func (r *Replica) primary() int    { return Primary(r.view, r.c.N) }

// gen marks a vote of the present view.
func (r *Replica) gen() uint64 { return r.view + 1 }

// send addresses one replica or Everyone.
func (r *Replica) send(to int, m message.Message) {
	if r.c.N > 1 {
		r.out.Sends = append(r.out.Sends, Send{To: to, Msg: m})
	}
}

// record adds a record to this turn's batch and returns the batch's number.
func (r *Replica) record(rec Record) PersistID {
	if r.out.K == 0 {
		r.persist++
		r.out.K = r.persist
	}
	r.out.Records = append(r.out.Records, rec)
	return r.out.K
}

func (r *Replica) event(e Event) { r.out.Events = append(r.out.Events, e) }

func (r *Replica) reject(from message.ReplicaID, why Reason, n uint64) {
	r.event(Event{Kind: EvRejected, Replica: from, Reason: why, N: n})
}

func (r *Replica) setStatus(s message.ReplicaStatus, why string) {
	r.status = s
	r.event(Event{Kind: EvStatus, Status: s, Text: why})
}

// halt stops the replica for good: it met what cannot be with f faulty ones.
func (r *Replica) halt(why string) {
	r.setStatus(message.Halted, why)
	r.out.Halt = &Halt{Reason: why}
}

package sim

import (
	"slices"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Answer is what a replica tells a client: a block of all its outcomes in batch
// N; or, with N 0, one outcome alone, on the client's stream or posted to its
// URL; or that it refuses Numbers.
type Answer struct {
	Client  string
	Session uint64
	View    uint64
	N       uint64
	Digest  crypto.Digest // of a block
	Results []crypto.Result
	Posted  bool
	Refused consensus.Reason
	Numbers []uint64
	Agreed  bool // a single outcome that f+1 replicas told this one
}

// tell sends an answer to its client.
func (h *host) tell(a *Answer) {
	c := h.w.names[a.Client]
	if c == nil || !h.burn() {
		return
	}
	if h.liar == nil {
		h.carry(c, a)
		return
	}
	for _, a := range h.liar.answer(a) {
		h.carry(c, a)
	}
}

func (h *host) carry(c *client, a *Answer) {
	h.w.net.carry(h.id, c.node, func() { c.receive(h.id, a) })
}

// submit takes a group at the replica's public port.
func (h *host) submit(g crypto.GroupView, src consensus.Source) {
	if h.down {
		return
	}
	if _, err := h.w.verifier.group(g.Raw); err != nil {
		h.w.cover.add("forged groups at a port")
		return
	}
	h.trace("<- client %s: #%d and %d more, %+v", g.Client, g.FirstNumber(), g.Count-1, src)
	h.put(item{
		input: consensus.Input{Kind: consensus.InRequest, Group: g, Source: src},
		decided: func(why consensus.Reason) {
			if why != consensus.OK {
				h.refuse(&g, why)
			}
		},
	})
}

func (h *host) refuse(g *crypto.GroupView, why consensus.Reason) {
	h.w.cover.add("refused: " + why.String())
	a := &Answer{Client: string(g.Client), Session: g.Session, View: h.core.View(), Refused: why}
	var r crypto.Request
	for cur := g.Cursor(); cur.Next(&r); {
		a.Numbers = append(a.Numbers, r.Number)
	}
	h.tell(a)
}

// waiter is a caller that waits here for f+1 equal outcomes.
type waiter struct {
	client          string
	session, number uint64
	votes           []vote
	delay           int64
	life            int
}

// vote is one replica's newest word about a request.
type vote struct {
	replica int
	session uint64
	outcome crypto.Outcome
	result  crypto.Result
}

// cast replaces the word of v's replica, and returns how many say the same,
// and whoever of them has the result.
func cast(votes []vote, v vote) (_ []vote, equal int, best *vote) {
	i := slices.IndexFunc(votes, func(o vote) bool { return o.replica == v.replica })
	if i < 0 {
		i = len(votes)
		votes = append(votes, v)
	}
	votes[i] = v
	best = &votes[i]
	for i := range votes {
		if o := &votes[i]; o.outcome == v.outcome && o.session == v.session {
			equal++
			if !o.result.Tombstone {
				best = o
			}
		}
	}
	return votes, equal, best
}

// call takes a request of a caller who talks to this replica only. It collects
// what f+1 replicas say alike, unless the client's URL gets it.
func (h *host) call(g crypto.GroupView, posted bool) {
	if h.down {
		return
	}
	wait := &waiter{client: string(g.Client), session: g.Session, number: g.FirstNumber(), delay: h.w.plan.Retry, life: h.life}
	if !posted && !slices.ContainsFunc(h.waiters, wait.same) {
		h.waiters = append(h.waiters, wait)
		h.w.after(wait.delay, func() { h.again(wait, g) })
	}
	h.submit(g, consensus.Source{Alone: true, JSON: true})
}

func (w *waiter) same(o *waiter) bool {
	return w.client == o.client && w.session == o.session && w.number == o.number
}

// again asks all replicas for the outcome that a caller waits for.
func (h *host) again(wait *waiter, g crypto.GroupView) {
	if h.life != wait.life || h.down || !slices.Contains(h.waiters, wait) {
		return
	}
	if wait.delay > 16*h.w.plan.Retry {
		h.waiters = slices.DeleteFunc(h.waiters, func(o *waiter) bool { return o == wait })
		return // the caller has given up
	}
	if h.pauses == 0 {
		h.submit(g, consensus.Source{Alone: true, Retry: true})
		h.post(consensus.Everyone, &message.FetchReply{Client: wait.client, Session: wait.session, Number: wait.number})
		h.ask(func() { h.reply(h.id, wait.client, wait.session, wait.number) })
	}
	wait.delay *= 2
	h.w.after(wait.delay, func() { h.again(wait, g) })
}

// deliverReply counts one replica's word for the callers that wait here. Its
// own goes to the client's stream, too.
func (h *host) deliverReply(from int, m *message.Reply) {
	if from == h.id {
		h.tell(&Answer{Client: m.Client, Session: m.Session, View: m.View, Results: []crypto.Result{m.Result}})
	}
	if m.Result.Status == crypto.StatusNotExecuted {
		return // it may still be on its way
	}
	v := vote{replica: from, session: m.Session, outcome: clusterID.OutcomeOf(&m.Result), result: m.Result}
	for i, wait := range h.waiters {
		if wait.client != m.Client || wait.number != m.Result.Number || wait.session != m.Session {
			continue
		}
		var equal int
		var best *vote
		if wait.votes, equal, best = cast(wait.votes, v); equal > h.w.plan.F() {
			h.waiters = slices.Delete(h.waiters, i, i+1)
			h.tell(&Answer{Client: m.Client, Session: m.Session, View: m.View, Results: []crypto.Result{best.result}, Agreed: true})
		}
		return
	}
}

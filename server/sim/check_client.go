package sim

import (
	"bytes"
	"math/bits"

	"github.com/pbft-go/pbft/crypto"
)

// issued notes what a client asks for (I4).
func (k *checker) issued(c *client, r *request, session uint64) {
	k.history.issued[requestKey{c.name, r.number}] = issue{string(r.op), session}
}

// answered looks at an outcome that a client believes.
func (k *checker) answered(c *client, r *request, res *crypto.Result, who uint64, gateway int) {
	k.w.mix(r.number, res.N)
	k.w.trace.line(k.w, "client %d: #%d is %s at n%d", c.index, r.number, res.Status, res.N)
	if gateway >= 0 && k.w.hosts[gateway].liar != nil {
		k.w.cover.add("answers of lying gateways")
		return // its callers believe it alone
	}
	k.distinct(c, r, who, gateway)
	k.w.cover.add("answers: " + c.plan.Mode.String())
	o := k.history.answers[requestKey{c.name, r.number}]
	if res.Status != crypto.StatusOK || o == nil {
		k.fail("I16", "client %d is told that #%d is %s at %d, which the history does not hold", c.index, r.number, res.Status, res.N)
		return
	}
	k.sameAnswer(c, r, res, o)
	k.realTime(c, r, o)
}

// distinct (I22): every answer has f+1 senders.
func (k *checker) distinct(c *client, r *request, who uint64, gateway int) {
	if gateway < 0 && bits.OnesCount64(who) <= k.w.plan.F() {
		k.fail("I22", "client %d believes %d replicas about #%d", c.index, bits.OnesCount64(who), r.number)
	}
}

// sameAnswer (I16, I18): what a client believes is in the agreed history, with
// that result.
func (k *checker) sameAnswer(c *client, r *request, res *crypto.Result, o *outcome) {
	same := res.N == o.n && r.group.Session == o.session
	if res.Tombstone {
		k.w.cover.add("answers without their result")
		same = same && res.Digest == clusterID.ValueDigest(o.value) && res.Size == uint64(len(o.value))
	} else {
		same = same && bytes.Equal(res.Value, o.value)
	}
	if !same {
		k.fail("I18", "client %d is told that #%d gave %q at %d, the history says %q at %d", c.index, r.number, res.Value, res.N, o.value, o.n)
	}
}

// realTime (I18): an operation that began after another one was answered comes
// after it in the history, whoever issued them.
func (k *checker) realTime(c *client, r *request, o *outcome) {
	if o.position <= r.floor {
		k.fail("I18", "client %d: #%d at batch %d was issued after an answer of batch %d", c.index, r.number, o.n, r.floor>>20)
	}
	k.accepted = max(k.accepted, o.position)
}

package transport

import (
	"fmt"
	"sync"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/message"
)

// mismatch counts the peers that run with another configuration. One of them
// may lie; f+1 that say the same cannot all.
type mismatch struct {
	need int // f+1
	tell func(crypto.Digest, []string)

	mu      sync.Mutex
	digests map[message.ReplicaID]crypto.Digest // what each peer said last
	told    bool
}

func (m *mismatch) agrees(from message.ReplicaID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.digests, from)
}

func (m *mismatch) differs(from message.ReplicaID, d crypto.Digest, differing []string) {
	m.mu.Lock()
	m.digests[from] = d
	equal := 0
	for _, other := range m.digests {
		if other == d {
			equal++
		}
	}
	tell := equal >= m.need && !m.told && m.tell != nil
	m.told = m.told || tell
	m.mu.Unlock()
	if tell {
		m.tell(d, differing)
	}
}

// differences names the values in which two configurations differ.
func differences(ours []config.Value, theirs []*pbftv1.ConfigValue) (out []string) {
	missing := make(map[string]string, len(theirs))
	for _, v := range theirs {
		missing[v.GetName()] = v.GetValue()
	}
	for _, v := range ours {
		other, ok := missing[v.Name]
		delete(missing, v.Name)
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s is %s here and unknown there", v.Name, v.Value))
		case other != v.Value:
			out = append(out, fmt.Sprintf("%s is %s here and %.40q there", v.Name, v.Value, other))
		}
	}
	for _, v := range theirs {
		if _, ok := missing[v.GetName()]; ok {
			out = append(out, fmt.Sprintf("%.40q is unknown here and %.40q there", v.GetName(), v.GetValue()))
		}
	}
	if len(out) > maxNamed {
		out = append(out[:maxNamed], "…")
	}
	return out
}

package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// Coverage counts what a run brought about.
type Coverage map[string]int

func (c Coverage) add(what string) { c[what]++ }

// Add adds the counts of another run.
func (c Coverage) Add(o Coverage) {
	for what, n := range o { //maporder: sums
		c[what] += n
	}
}

// String gives one count per line, by name.
func (c Coverage) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "  %-36s %d\n", what, c[what])
	}
	return b.String()
}

// records notes what the records of one step tell of how they came about.
func (c Coverage) records(h *host, in *consensus.Input, records []consensus.Record) {
	if h.liar != nil {
		return
	}
	for i := range records {
		switch records[i].Kind {
		case consensus.RecAccept:
			switch in.Msg.(type) {
			case *message.Prepare:
				c.add("accepted by amplification")
			case *message.Body:
				c.add("accepted after a fetch")
			}
		case consensus.RecStable:
			if _, ok := in.Msg.(*message.StableCertificate); ok {
				c.add("stable by a certificate")
			}
		case consensus.RecCommitted:
			switch in.Msg.(type) {
			case *message.Committed:
				c.add("committed by statements")
			case *message.Commit:
				c.add("committed by commits")
			}
		}
	}
}

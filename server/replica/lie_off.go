//go:build !liar

package replica

import (
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
)

// lying says that this is a test build, whose replicas can do wrong on purpose
// (lie_on.go). No other build has any of it.
const lying = false

type liar struct{}

func (*Replica) postLies(consensus.Send) {}
func (*liar) init(*Replica)              {}
func (*liar) deaf(*consensus.Input) bool { return false }
func (*liar) block(*execution.Block)     {}
func (*liar) reply(*message.Reply)       {}

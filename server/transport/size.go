package transport

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/message"
)

// Upper bounds of what a message takes on the wire, in bytes.
const (
	sizeFew        = 160                            // a message of scalars, a digest and a client id at most
	sizeCheckpoint = 192                            // a signed vote
	sizePQ         = 64                             // an entry of P or Q
	sizeRef        = 48                             // a view change's name
	sizeNDigest    = 56                             // a statement about one number
	sizeDigest     = 34                             // a digest in a list
	sizeViewChange = 1 << 20                        // vc_bytes
	sizeSigned     = sizeFew + crypto.SignatureSize // besides lists
	sizeStatus     = 512 + 8*message.StatusSpan     // all of it
	sizeManifest   = 320                            // a state's roots
	sizeIndex      = 5                              // an index of a node or a piece
	sizeCerts      = message.MaxReplicas * sizeCheckpoint
)

// sizeOf is at least what m takes in a frame.
func sizeOf(m message.Message) int {
	switch m := m.(type) {
	case *message.PrePrepare:
		return sizeFew + len(m.Batch.Body)
	case *message.Body:
		return sizeFew + len(m.Batch.Body)
	case *message.Checkpoint:
		return sizeCheckpoint
	case *message.StableCertificate:
		return sizeFew + sizeCheckpoint*len(m.Certificate.Votes)
	case *message.ViewChange:
		return sizeSigned + sizeCheckpoint*len(m.Certificate.Votes) + sizePQ*(len(m.P)+len(m.Q))
	case *message.NewView:
		return sizeSigned + sizeRef*len(m.ViewChanges)
	case *message.Status:
		return sizeStatus
	case *message.Relay:
		return sizeFew + len(m.Group.Raw)
	case *message.Reply:
		return sizeFew + len(m.Client) + len(m.Result.Value)
	case *message.FetchBody:
		return sizeFew + sizeDigest*len(m.Digests)
	case *message.Committed:
		return sizeFew + sizeNDigest*len(m.Entries)
	case *message.FetchReply:
		return sizeFew + len(m.Client)
	case *message.Manifest:
		return sizeManifest
	case *message.FetchNodes:
		return sizeFew + sizeIndex*len(m.Indexes)
	case *message.Nodes:
		return sizeFew + sizeDigest*len(m.Digests)
	case *message.FetchPieces:
		return sizeFew + sizeIndex*len(m.Indexes)
	case *message.Piece:
		return sizeFew + len(m.Data)
	}
	return sizeFew
}

// maxMessage is the size of the largest message in a frame.
func maxMessage(lim message.Limits) int {
	return sizeFew + max(lim.MaxBatchBytes, sizeViewChange) + 4<<10
}

// maxReceived is the size of the largest frame: gRPC refuses what is larger.
func maxReceived(lim message.Limits) int { return frameRoom + max(maxFrame, maxMessage(lim)) }

// maxSize is how large a received message of a kind may be: it is not looked
// at otherwise, so that a few bytes cannot make the decoder allocate many.
func maxSize(kind protowire.Number, lim message.Limits) int {
	switch kind {
	case kindPrePrepare, kindBody, kindRelay, kindReply:
		return maxMessage(lim)
	case kindViewChange:
		return sizeViewChange
	case kindNewView:
		return sizeSigned + message.MaxReplicas*sizeRef
	case kindCertificate:
		return sizeFew + sizeCerts
	case kindStatus:
		return sizeStatus
	case kindFetchBody:
		return sizeFew + message.MaxFetch*sizeDigest
	case kindCommitted:
		return sizeFew + message.MaxCommitted*sizeNDigest
	case kindCheckpoint:
		return sizeCheckpoint
	case kindManifest:
		return sizeManifest
	case kindFetchNodes, kindFetchPieces:
		return sizeFew + message.MaxIndexes*sizeIndex
	case kindNodes:
		return sizeFew + message.MaxNodes*sizeDigest
	case kindPiece:
		return sizeFew + message.MaxFragment
	}
	return sizeFew
}

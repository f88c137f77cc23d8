package transport

import "fmt"

// Reason says why a peer's message was refused.
type Reason uint8

// Reasons.
const (
	Malformed    Reason = iota // no protobuf, or a field out of its range
	TooLarge                   // larger than its type allows, or too many entries
	BadBatch                   // header and body of a batch do not agree, or a group in it is invalid
	BadGroup                   // a relayed group is invalid
	BadSignature               // a signature, a nested one too, does not verify
	WrongSender                // names another sender than the peer
	WrongEpoch                 // belongs to another epoch
	NotSupported               // a message that this version does not serve
	numReasons
)

var reasonNames = [numReasons]string{
	"malformed", "too_large", "bad_batch", "bad_group", "bad_signature",
	"wrong_sender", "wrong_epoch", "not_supported",
}

// String names the reason as metrics and logs do.
func (r Reason) String() string {
	if r >= numReasons {
		return "unknown"
	}
	return reasonNames[r]
}

// faulty reports whether only a faulty peer sends such a message. Another
// epoch or a newer version is no fault.
func (r Reason) faulty() bool { return r != WrongEpoch && r != NotSupported }

// rejection is the error of a message that was refused.
type rejection struct {
	reason Reason
	err    error
}

func (r *rejection) Error() string { return r.err.Error() }

func reject(r Reason, format string, args ...any) error {
	return &rejection{reason: r, err: fmt.Errorf(format, args...)}
}

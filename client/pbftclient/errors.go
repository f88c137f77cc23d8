package pbftclient

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("pbftclient: the client is closed")
	// ErrOutcomeUnknown says that no f+1 replicas answered in time: the
	// operation may have been executed, or may still be. It wraps the error of
	// the context.
	ErrOutcomeUnknown = errors.New("pbftclient: outcome unknown")
	// ErrExpired says that the number lies below the client's window: it is
	// closed, and was executed before or never will be.
	ErrExpired = errors.New("pbftclient: number expired, below the client's window")
	// ErrNumberReused says that the number was used before, by another
	// program or session.
	ErrNumberReused = errors.New("pbftclient: number was used by another request")
)

// RefusedError says that f+1 replicas refused a request for good: it breaks a
// rule, and no retry helps.
type RefusedError struct {
	Reason     string // as in RefusalReason of the protocol
	Message    string // what was wrong, with the value and what is allowed
	RetryAfter time.Duration
}

// Error tells the replicas' reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("pbftclient: refused (%s): %s", e.Reason, e.Message)
}

// unknownError is ErrOutcomeUnknown because of a context.
type unknownError struct{ cause error }

func (e *unknownError) Error() string {
	return fmt.Sprintf("%v: %v before f+1 replicas agreed; ask for the outcome, or submit the same number again", ErrOutcomeUnknown, e.cause)
}
func (e *unknownError) Is(target error) bool { return target == ErrOutcomeUnknown }
func (e *unknownError) Unwrap() error        { return e.cause }

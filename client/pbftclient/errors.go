package pbftclient

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrClosed says that the client was closed before the outcome was known.
	ErrClosed = errors.New("pbftclient: the client is closed")
	// ErrNotSent says that the context ended before the operation left this
	// program: it was not executed and never will be.
	ErrNotSent = errors.New("pbftclient: nothing was sent")
	// ErrOutcomeUnknown is what every *UnknownError is.
	ErrOutcomeUnknown = errors.New("pbftclient: outcome unknown")
	// ErrExpired says that the number lies below the client's window: it is
	// closed, and was executed before or never will be.
	ErrExpired = errors.New("pbftclient: number expired, below the client's window")
	// ErrNumberReused says that the number was used before, by another program
	// or for another session.
	ErrNumberReused = errors.New("pbftclient: number was used by another request")
)

// UnknownError says that the context ended before f+1 replicas agreed: the
// operation may have been executed, or may still be. Its number stays used.
type UnknownError struct {
	Client string
	Number uint64
	Cause  error // of the context
	state  string
}

// Error tells what to do.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%v: %v before enough replicas agreed on number %d of client %q (%s): ask for its outcome later",
		ErrOutcomeUnknown, e.Cause, e.Number, e.Client, e.state)
}

// Is makes errors.Is(err, ErrOutcomeUnknown) true.
func (e *UnknownError) Is(target error) bool { return target == ErrOutcomeUnknown }

// Unwrap gives the context's error.
func (e *UnknownError) Unwrap() error { return e.Cause }

// RefusedError says that the cluster refuses the request for good, f+1
// replicas of it or this program itself: it breaks a rule, and no retry helps.
type RefusedError struct {
	Reason     string // such as INVALID, as in the protocol's RefusalReason
	Message    string // what was wrong, with the value and what is allowed
	RetryAfter time.Duration
}

// Error tells the reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("pbftclient: refused (%s): %s", e.Reason, e.Message)
}

// invalid refuses what no replica would take.
func invalid(format string, args ...any) *RefusedError {
	return &RefusedError{Reason: "INVALID", Message: fmt.Sprintf(format, args...)}
}

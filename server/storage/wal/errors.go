package wal

import (
	"errors"
	"fmt"
)

// CorruptError says that the log holds something which neither a crash nor this
// program leaves behind. Votes may be missing from it, so the replica must not
// go on, and nobody can tell which: nothing is skipped, and nothing mended.
type CorruptError struct {
	File   string
	Offset int64  // in bytes, of the frame that is not as it must be
	Reason string // what is there instead, and how this is known
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the log is damaged: %s at %d: %s. This replica must not go on, nor from a part of its log: "+
		"do not remove or edit anything there, replace the disk, start with an empty data directory and let the replica rejoin",
		e.File, e.Offset, e.Reason)
}

// errClosed is the error of a log that was closed.
var errClosed = errors.New("the log is closed")

// fail keeps the first error for good. What a failed write left on disk is
// unknown, so nothing may follow it but a restart.
func (l *Log) fail(err error) error {
	l.err = err
	return err
}

// usable is why the log takes no changes any more.
func (l *Log) usable() error {
	switch {
	case l.err == nil || errors.Is(l.err, errClosed) || l.o.ReadOnly:
		return l.err
	default:
		return fmt.Errorf("the log has failed before and takes nothing more, restart the replica: %w", l.err)
	}
}

// refusedError says that the log itself is in order, but not for whom it was
// opened.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

func refused(format string, args ...any) error { return &refusedError{fmt.Errorf(format, args...)} }

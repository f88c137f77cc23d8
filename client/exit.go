package main

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/pbft-go/pbft/client/pbftclient"
)

// Exit codes; the help text lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitUnknown     = 4
	exitExpired     = 5
	exitReused      = 6
	exitNotExecuted = 7
	exitSignal      = 128 // and the signal's number, as a shell reports it
)

// misused is a command line or a configuration that asks for nothing sensible.
type misused struct{ error }

func (m misused) Unwrap() error { return m.error }

// badConfig is a configuration that cannot be used.
type badConfig struct{ error }

func (b badConfig) Unwrap() error { return b.error }

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// signalled is why the context of a command ended.
type signalled struct{ signal os.Signal }

func (s signalled) Error() string { return "stopped by " + s.signal.String() }

// exitCode tells a command's error by number.
func exitCode(ctx context.Context, err error) int {
	var own coded
	var refused *pbftclient.RefusedError
	var stopped signalled
	switch {
	case err == nil:
		return exitOK
	case errors.As(context.Cause(ctx), &stopped):
		if n, ok := stopped.signal.(syscall.Signal); ok {
			return exitSignal + int(n)
		}
		return exitFailed
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &misused{}), errors.As(err, &badConfig{}):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	case errors.Is(err, pbftclient.ErrOutcomeUnknown):
		return exitUnknown
	case errors.Is(err, pbftclient.ErrExpired):
		return exitExpired
	case errors.Is(err, pbftclient.ErrNumberReused):
		return exitReused
	default:
		return exitFailed
	}
}

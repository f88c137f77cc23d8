//go:build !linux || !amd64

package guard

import (
	"errors"
	"runtime"
)

// counter counts instructions, on linux/amd64 only.
type counter struct{}

var errNoCounter = errors.New("instructions are counted on linux/amd64 only, this is " + runtime.GOOS + "/" + runtime.GOARCH)

func openInstructions() (*counter, error) { return nil, errNoCounter }

func (*counter) close() {}

func (*counter) read() (uint64, error) { return 0, errNoCounter }

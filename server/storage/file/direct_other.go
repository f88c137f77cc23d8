//go:build unix && !(linux && (amd64 || arm64))

package file

import (
	"errors"
	"os"
)

func openDirect(string, bool) (*os.File, error) {
	return nil, errors.New("this program has it for Linux on amd64 and arm64 only")
}

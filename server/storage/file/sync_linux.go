package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const plainMethod = "fdatasync"

// syncData makes what was written to f survive a loss of power, and of what
// describes f only what it takes to read that.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// reserve gives the new file f its size and its place on the device, so that a
// lack of space shows before anything is written.
func reserve(f *os.File, size int64) error {
	if size == 0 {
		return nil
	}
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		}
		return os.NewSyscallError("fallocate", err)
	}
}

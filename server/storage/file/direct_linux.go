//go:build linux && (amd64 || arm64)

package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openDirect opens a file for writing past the page cache. If durable is set, a
// write ends when its bytes survive a loss of power.
func openDirect(name string, durable bool) (*os.File, error) {
	flag := os.O_WRONLY | unix.O_DIRECT
	if durable {
		flag |= unix.O_DSYNC
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	if err := admitDirect(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// admitDirect refuses a file system or a device that says that Block is not
// enough. Many say nothing; the trial write asks them.
func admitDirect(f *os.File) error {
	var s unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &s)
	if err != nil || s.Mask&unix.STATX_DIOALIGN == 0 {
		return nil // not the file's fault: the kernel is too old to tell
	}
	if s.Dio_offset_align == 0 {
		return errors.New("the file system has no direct I/O")
	}
	if need := max(s.Dio_offset_align, s.Dio_mem_align); need > Block {
		return fmt.Errorf("the device wants writes in multiples of %d bytes, more than %d", need, Block)
	}
	return nil
}

//go:build unix

package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked is the error of Lock while another holds the lock.
var ErrLocked = errors.New("locked")

// Lock takes the lock that the file name stands for, for this process, and
// makes the file if it is missing. Closing gives it back, and so does the end of
// the process, however it ends. The file stays, empty unless the holder died:
// to remove it would let two processes lock two files of one name.
func Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%s is %w by %s: stop that process, or name another directory", name, ErrLocked, holder(f))
		} else {
			err = fmt.Errorf("lock %s: %w: name a directory on a local file system", name, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(pid), 0)
	}
	if err != nil {
		err = fmt.Errorf("write this process's number to %s: %w%s", name, cause(err), advice(err))
		return nil, errors.Join(err, f.Close())
	}
	return heldLock{f}, nil
}

// flock locks f, or fails at once.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder names the process that wrote its number to f.
func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	switch {
	case err != nil:
		return "another process"
	case pid == os.Getpid():
		return fmt.Sprintf("this process, %d", pid)
	}
	return fmt.Sprintf("process %d", pid)
}

// heldLock is a lock that this process holds.
type heldLock struct{ f *os.File }

func (l heldLock) Close() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

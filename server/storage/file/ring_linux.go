//go:build linux && (amd64 || arm64)

package file

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/aio_abi.h.
const (
	opWrite     = 1 // IOCB_CMD_PWRITE
	flagEventFD = 1 // IOCB_FLAG_RESFD: count up resfd at the end
)

// iocb is the kernel's struct iocb on a little-endian machine: one operation.
type iocb struct {
	_     uint64 // given back with the event
	_     uint64 // the kernel's own, and flags for this write
	op    uint16
	_     uint16 // priority
	fd    uint32
	buf   uint64
	n     uint64
	off   int64
	_     uint64
	flags uint32
	resfd uint32
}

// ioEvent is the kernel's struct io_event: how an operation ended.
type ioEvent struct {
	_   [2]uint64 // which
	res int64     // bytes, or -errno
	_   int64
}

// ring does one write at a time, asynchronously and without a thread of its own:
// the kernel counts up an event descriptor when the write has ended, and Go's
// network poller wakes the goroutine that reads it.
type ring struct {
	context uintptr // aio_context_t
	eventFD int
	done    *os.File // eventFD
	count   [8]byte  // what is read from done

	pin     runtime.Pinner // holds cb and the buffer while the kernel has them
	cb      iocb
	list    [1]*iocb
	event   ioEvent
	submit  func(fd uintptr) // r.submitTo, made once
	refused error            // by submit

	broken bool // not for another operation
	busy   bool // the kernel may have cb and the buffer
}

// newRing asks the kernel for one.
func newRing() (*ring, error) {
	r := &ring{}
	r.submit = r.submitTo
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&r.context)), 0); errno != 0 {
		return nil, os.NewSyscallError("io_setup", errno)
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		r.destroy()
		return nil, os.NewSyscallError("eventfd", err)
	}
	r.eventFD, r.done = fd, os.NewFile(uintptr(fd), "eventfd")
	return r, nil
}

// destroy gives the kernel back what it gave to newRing.
func (r *ring) destroy() {
	if r.done != nil {
		_ = r.done.Close()
	}
	_, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, r.context, 0, 0) // it cannot fail, and nothing hangs on it
}

// write writes b at off into a file, and returns once that has ended, with the
// number of bytes written. b must be on the heap. With errNotBegun nothing has
// happened, after another error anything may have.
func (r *ring) write(to syscall.RawConn, b []byte, off int64) (int, error) {
	start := unsafe.SliceData(b)
	r.pin.Pin(&r.cb)
	r.pin.Pin(start)
	r.cb = iocb{
		op: opWrite, buf: uint64(uintptr(unsafe.Pointer(start))), n: uint64(len(b)), off: off,
		flags: flagEventFD, resfd: uint32(r.eventFD),
	}
	r.list[0], r.refused = &r.cb, nil
	if err := to.Control(r.submit); err != nil {
		r.refused = os.ErrClosed // the only reason it has
	}
	if r.refused != nil {
		r.pin.Unpin()
		return 0, fmt.Errorf("%w: %w", errNotBegun, r.refused)
	}
	return r.wait()
}

// submitTo begins the operation that cb describes on the file fd. The kernel
// holds the file from here on.
func (r *ring) submitTo(fd uintptr) {
	r.cb.fd = uint32(fd)
	n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, r.context, 1, uintptr(unsafe.Pointer(&r.list)))
	switch {
	case errno != 0:
		r.refused = os.NewSyscallError("io_submit", errno)
	case n != 1:
		r.refused = fmt.Errorf("io_submit took %d operations of 1", n)
	}
}

// wait waits for the operation under way. While the kernel may still have the
// buffer it does not return, unless even asking fails.
func (r *ring) wait() (int, error) {
	r.busy = true
	_, err := r.done.Read(r.count[:])
	r.broken = err != nil // then the next call waits, not the poller
	for n := uintptr(0); n == 0; {
		var errno syscall.Errno
		n, _, errno = unix.Syscall6(unix.SYS_IO_GETEVENTS, r.context, 1, 1, uintptr(unsafe.Pointer(&r.event)), 0, 0)
		if errno == unix.EINTR {
			n = 0
		} else if errno != 0 {
			r.broken = true
			return 0, os.NewSyscallError("io_getevents", errno)
		}
	}
	r.busy = false
	r.pin.Unpin()
	if r.event.res < 0 {
		return 0, syscall.Errno(-r.event.res)
	}
	return int(r.event.res), nil
}

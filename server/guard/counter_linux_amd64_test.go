package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// perfEventAttr is the kernel's struct perf_event_attr, in the size of its
// first version.
type perfEventAttr struct {
	kind, size                           uint32
	config                               uint64
	samplePeriod, sampleType, readFormat uint64
	flags                                uint64
	wakeup, breakpoint                   uint32
	config1                              uint64
}

// Values of linux/perf_event.h.
const (
	perfHardware      = 0
	perfInstructions  = 1
	perfPinned        = 1 << 2 // always on the processor, or not at all
	perfExcludeKernel = 1 << 5
	perfExcludeHV     = 1 << 6
	perfCloseOnExec   = 1 << 3
)

// counter counts the instructions of one thread in user space.
type counter struct{ file *os.File }

// openInstructions begins to count those of the calling thread. The error says
// why this machine cannot compare them with the budgets.
func openInstructions() (*counter, error) {
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err != nil || !bytes.Contains(cpu, []byte("sha_ni")) {
		return nil, errors.New("the budgets of instructions are those of processors with SHA instructions, which /proc/cpuinfo does not show here")
	}
	attr := perfEventAttr{kind: perfHardware, config: perfInstructions, flags: perfPinned | perfExcludeKernel | perfExcludeHV}
	attr.size = uint32(unsafe.Sizeof(attr))
	const thisThread, anyCPU, noGroup = 0, ^uintptr(0), ^uintptr(0)
	fd, _, errno := syscall.Syscall6(syscall.SYS_PERF_EVENT_OPEN,
		uintptr(unsafe.Pointer(&attr)), thisThread, anyCPU, noGroup, perfCloseOnExec, 0)
	if errno != 0 {
		return nil, fmt.Errorf("instructions cannot be counted here: perf_event_open: %w (a virtual machine without counters, or kernel.perf_event_paranoid above 2)", errno)
	}
	return &counter{os.NewFile(fd, "perf event")}, nil
}

func (c *counter) close() { _ = c.file.Close() }

// read is the present count.
func (c *counter) read() (uint64, error) {
	var b [8]byte
	if _, err := c.file.Read(b[:]); err != nil {
		return 0, fmt.Errorf("read the instruction counter: %w (the end of file: it had no room on the processor)", err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}

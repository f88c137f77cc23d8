package replica

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// usage is what the process has used so far.
type usage struct {
	userUS, systemUS      uint64
	residentB, residentPB uint64 // resident memory and its peak, in bytes
}

// processUsage reads the kernel's accounting; what it cannot read is 0.
func processUsage() (u usage) {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		us := func(t syscall.Timeval) uint64 { return uint64(t.Sec)*1e6 + uint64(t.Usec) }
		u.userUS, u.systemUS = us(ru.Utime), us(ru.Stime)
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kb := func() uint64 {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return n << 10
		}
		switch name {
		case "VmRSS":
			u.residentB = kb()
		case "VmHWM":
			u.residentPB = kb()
		}
	}
	return u
}

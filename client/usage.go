package main

import (
	"context"
	"net"
	"runtime"
	"syscall"
)

// usage is what the processes of the cluster, and this one, have used so far.
type usage struct {
	clientUS uint64 // CPU time of this process, microseconds
	clientB  uint64 // its highest resident memory, bytes
	replicas map[process]processUsage
	answered int // replicas
}

// process is one process of the cluster, which may run several replicas.
type process struct {
	host string
	pid  uint32
}

type processUsage struct{ cpuUS, peakB uint64 }

// takeUsage asks the replicas. Those that do not answer are left out.
func takeUsage(ctx context.Context, c *cluster, all conns) usage {
	u := usage{replicas: map[process]processUsage{}}
	for i, a := range askAll(ctx, all, askTimeout, getStatus) {
		if a.err != nil {
			continue
		}
		u.answered++
		host, _, _ := net.SplitHostPort(c.addrs[i]) // checked with the flags
		s := a.value
		p := process{host, s.GetPid()}
		// Replicas of one process say the same, at slightly different times.
		u.replicas[p] = processUsage{
			cpuUS: max(u.replicas[p].cpuUS, s.GetCpuUserUs()+s.GetCpuSystemUs()),
			peakB: max(u.replicas[p].peakB, s.GetResidentPeakBytes()),
		}
	}
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) == nil {
		us := func(t syscall.Timeval) uint64 { return uint64(t.Sec)*1e6 + uint64(t.Usec) }
		u.clientUS, u.clientB = us(ru.Utime)+us(ru.Stime), uint64(ru.Maxrss)
		if runtime.GOOS != "darwin" { // where it is in bytes
			u.clientB <<= 10
		}
	}
	return u
}

// cpuSince is the CPU time of the processes that both usages know, and the sum
// of their peaks of memory.
func (u *usage) cpuSince(before *usage) (us, peakB uint64) {
	for p, now := range u.replicas {
		then, ok := before.replicas[p]
		if ok && now.cpuUS >= then.cpuUS {
			us += now.cpuUS - then.cpuUS
			peakB += now.peakB
		}
	}
	return us, peakB
}

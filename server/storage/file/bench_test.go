//go:build unix

package file

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkWriteSync shows what a write costs by each method, on one processor
// of Go's: alone, the time and the CPU time of this process, and beside goroutines
// that play ping-pong over a socket, how long these have to wait. Compare within one run, on a machine that does nothing
// else and on one that does.
func BenchmarkWriteSync(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		for _, m := range []Method{Plain, Direct} {
			for _, pings := range []bool{false, true} {
				name := fmt.Sprintf("%dKiB/%s", size>>10, m)
				if pings {
					name += "/pings"
				}
				b.Run(name, func(b *testing.B) { benchmarkWrites(b, m, size, pings) })
			}
		}
	}
}

func benchmarkWrites(b *testing.B, m Method, size int, pings bool) {
	const fileSize = 32 << 20
	d, dir := osBy(m), b.TempDir()
	if got, err := d.SyncMethod(dir); got != m {
		b.Skip(err)
	}
	f, err := d.Create(filepath.Join(dir, "f"), fileSize, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	buf, off := Aligned(size), int64(0)
	took := make([]time.Duration, 0, b.N)
	stop := func() []time.Duration { return nil }
	if pings {
		stop = playPingPong(b)
	}
	b.ReportAllocs()
	cpu := cpuTime(b)
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		if err := f.WriteSync(buf, off); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
		off = (off + int64(size)) % fileSize
	}
	b.StopTimer()
	cpu = cpuTime(b) - cpu
	report(b, took, 50, "write-p50-us")
	report(b, took, 99, "write-p99-us")
	if pings {
		trips := stop()
		report(b, trips, 50, "ping-p50-us")
		report(b, trips, 99, "ping-p99-us")
		return
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op")
}

// report reports a percentile.
func report(b *testing.B, d []time.Duration, percent int, unit string) {
	if len(d) > 0 {
		slices.Sort(d)
		b.ReportMetric(float64(d[(len(d)-1)*percent/100].Nanoseconds())/1000, unit)
	}
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// playPingPong begins a game of two goroutines over loopback. Stopping it gives
// how long the round trips took.
func playPingPong(b *testing.B) (stop func() []time.Duration) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	ping, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	pong, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		defer pong.Close()
		_, _ = io.Copy(struct{ io.Writer }{pong}, struct{ io.Reader }{pong})
	}()
	quit, trips := make(chan struct{}), make(chan []time.Duration)
	go func() {
		defer ping.Close()
		var all []time.Duration
		var ball [64]byte
		for {
			select {
			case <-quit:
				trips <- all
				return
			default:
			}
			begin := time.Now()
			_, err := ping.Write(ball[:])
			if err == nil {
				_, err = io.ReadFull(ping, ball[:])
			}
			if err != nil {
				b.Error(err)
				<-quit
				trips <- all
				return
			}
			all = append(all, time.Since(begin))
		}
	}()
	return func() []time.Duration {
		close(quit)
		return <-trips
	}
}

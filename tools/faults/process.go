//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// The kernel ends a process with the thread that started it, and forgets to if
// another thread than the first one became the program: so all that stays on
// the first thread, which lasts.
func init() { runtime.LockOSThread() }

// process is one that this program started. It dies with this program,
// whatever ends that.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // of its end, once done is closed
}

// start starts cmd with one thread for Go code, as all share a few cores, and
// out of reach of the terminal's Ctrl-C.
func start(cmd *exec.Cmd) (*process, error) {
	cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1"), cmd.Env...)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// kill ends it, stopped or not.
func (p *process) kill() {
	_ = p.signal(syscall.SIGKILL) // it may have ended
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// wait waits for the end, for limit at most, and then kills it.
func (p *process) wait(ctx context.Context, limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.kill()
		return context.Cause(ctx)
	case <-t.C:
		p.kill()
		return fmt.Errorf("did not end within %v", limit)
	}
}

// failed is how a program's end is told, with what it said last.
func failed(err error, said []byte) error {
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && len(said) > 0 {
		return fmt.Errorf("%w: %s", err, said[max(0, len(said)-500):])
	}
	return err
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// runInside runs one case in this program again, in a namespace of its own, of
// the network or of what is mounted, which the kernel removes with the last
// process in it.
func runInside(ctx context.Context, o *options, f *fault) bool {
	args := append([]string{"--inside", "--bin", o.bin, "--dir", o.dir}, o.args()...)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(args, f.name)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if f.network {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	if f.mounts {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
	}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		(&result{failures: []string{fmt.Sprintf("no namespace of its own: %v; run it as root", err)}}).print(f)
		return false
	}
	return cmd.Wait() == nil // it printed why not
}

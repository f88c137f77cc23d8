//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// mountedReplica has a file system of its own: it is the first primary.
const mountedReplica = 0

const (
	diskSize = 512 << 20 // of that file system
	diskRoom = 40 << 20  // what is left of it when the load starts
	// diskPatience is after which the disk has failed its replica.
	diskPatience = time.Minute
)

// cannotMount says why there can be no file system of its own.
func cannotMount() string {
	if os.Getuid() != 0 {
		return "skipped: only root may mount"
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			return "skipped: " + err.Error()
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "skipped: no loop devices: " + err.Error()
	}
	return ""
}

func (c *cluster) image() string { return filepath.Join(c.data(), "image") }

func (c *cluster) ballast() string { return filepath.Join(c.dataOf(mountedReplica), "ballast") }

// mountOne gives one replica its file system, an ext4 in a file. This process is
// in a mount namespace of its own, with which all of it ends.
func mountOne(c *cluster) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := os.MkdirAll(c.dataOf(mountedReplica), 0o700); err != nil {
		return err
	}
	file, err := os.Create(c.image())
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(diskSize), file.Close()); err != nil {
		return err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", c.image()); err != nil {
		return err
	}
	if err := c.mount(); err != nil {
		return err
	}
	return os.Remove(filepath.Join(c.dataOf(mountedReplica), "lost+found")) // a new data directory is empty
}

func (c *cluster) mount() error {
	return command("mount", "-o", "loop", c.image(), c.dataOf(mountedReplica))
}

func (c *cluster) unmount() error { return command("umount", c.dataOf(mountedReplica)) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// fillDisk takes up room on the file system, so that the load fills it.
func (c *cluster) fillDisk() error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(c.dataOf(mountedReplica), &s); err != nil {
		return err
	}
	size := int64(s.Bavail)*s.Bsize - diskRoom
	if size <= 0 {
		return fmt.Errorf("%s is almost full before the load: %d blocks of %d bytes are free", c.dataOf(mountedReplica), s.Bavail, s.Bsize)
	}
	file, err := os.Create(c.ballast())
	if err != nil {
		return err
	}
	return errors.Join(syscall.Fallocate(int(file.Fd()), 0, 0, size), file.Close())
}

// fillUp has the disk of the primary become full, and then have room again.
func fillUp(ctx context.Context, r *run) error {
	c := r.cluster
	if err := c.fillDisk(); err != nil {
		return err
	}
	said, err := c.waitForEnd(ctx, mountedReplica, diskPatience)
	if err != nil {
		return err
	}
	if err := c.saysWhy(said, "no space left on device"); err != nil {
		return err
	}
	if err := sleep(ctx, r.hold/5); err != nil { // the others go on
		return err
	}
	if err := os.Remove(c.ballast()); err != nil {
		return err
	}
	return r.comeBack(ctx, mountedReplica)
}

// shutdown is the request of that name in linux/fs.h: FS_IOC_SHUTDOWN, _IOR('X',
// 125, __u32), and not to write anything more.
const (
	shutdown       = 0x8004587d
	shutdownAtOnce = 2
)

// failDisk has all reads and writes of the primary's disk fail, as when a device
// is gone, and then mounts it again.
func failDisk(ctx context.Context, r *run) error {
	c := r.cluster
	dir, err := os.Open(c.dataOf(mountedReplica))
	if err != nil {
		return err
	}
	how := uint32(shutdownAtOnce)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&how)))
	if err := dir.Close(); err != nil {
		return err
	}
	if errno == syscall.ENOTTY || errno == syscall.EOPNOTSUPP {
		r.result.skipped = "skipped: this kernel's ext4 cannot be shut down: " + errno.Error()
		return nil
	}
	if errno != 0 {
		return fmt.Errorf("shut down the file system: %w", errno)
	}
	said, err := c.waitForEnd(ctx, mountedReplica, diskPatience)
	if err != nil {
		return err
	}
	if err := c.saysWhy(said, "input/output error"); err != nil {
		return err
	}
	if err := sleep(ctx, r.hold/5); err != nil { // the others go on
		return err
	}
	if err := c.unmount(); err != nil {
		return err
	}
	if err := c.mount(); err != nil {
		return err
	}
	return r.comeBack(ctx, mountedReplica)
}

// saysWhy looks for the reason and for a file of the directory. What the replica
// says of opening it does not count.
func (c *cluster) saysWhy(said, reason string) error {
	for line := range strings.Lines(said) {
		if strings.Contains(line, reason) && strings.Contains(line, c.dataOf(mountedReplica)+"/") {
			return nil
		}
	}
	return fmt.Errorf("no line of replica %d says %q of a file in %s: %s", mountedReplica, reason, c.dataOf(mountedReplica), tail(said))
}

func tail(text string) string {
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-1000):]
}

//go:build linux && (amd64 || arm64)

package file

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestTheKernelsStructsHaveTheirSizes(t *testing.T) {
	if s := unsafe.Sizeof(iocb{}); s != 64 {
		t.Errorf("iocb has %d bytes, not 64", s)
	}
	if s := unsafe.Sizeof(ioEvent{}); s != 32 {
		t.Errorf("ioEvent has %d bytes, not 32", s)
	}
}

func TestAFullFileSystemMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, m := range []Method{Plain, Direct, AIO} {
		d := OSBy(m)
		_, err := d.Create(filepath.Join(dir, "f"), 1<<20)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "f of 1048576 bytes: no space left on device: free space") {
			t.Errorf("%s: %v", m, err)
		}
		if err := WriteFileAtomic(filepath.Join(dir, "g"), make([]byte, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("atomic: %v", err)
		}
		if names, err := d.List(dir); err != nil || len(names) > 0 {
			t.Errorf("%s leaves %q, error %v", m, names, err)
		}
	}
}

// ringOr gives a ring, or skips the test where the kernel gives none.
func ringOr(t *testing.T) *ring {
	t.Helper()
	r, err := newRing()
	if err != nil {
		t.Skip(err)
	}
	return r
}

func TestARefusedSubmissionDoesNothing(t *testing.T) {
	r := ringOr(t)
	defer r.destroy()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, Block), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name) // for reading
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, f)
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and the ring is as good as new
		if _, err := r.write(raw, pattern(1, 1), 0); !errors.Is(err, errNotBegun) || !errors.Is(err, syscall.EBADF) {
			t.Errorf("into a file that is open for reading: %v", err)
		}
	}
}

// Without its event descriptor a ring still waits for the end of a write, and
// is then given up.
func TestARingThatCannotBeWokenStillWaits(t *testing.T) {
	d, dir := OSBy(AIO), t.TempDir()
	if m, err := d.SyncMethod(dir); m != AIO {
		t.Skip(err)
	}
	f := create(t, d, filepath.Join(dir, "f"), 2).(*osFile)
	r := ringOr(t)
	fd, err := unix.Dup(r.eventFD) // the kernel's, which nothing reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, os.NewFile(uintptr(fd), "eventfd")) })
	closed(t, r.done)
	r.eventFD = fd
	if n, err := r.write(f.async, pattern(9, 1), Block); n != Block || err != nil {
		t.Fatalf("%d bytes, error %v", n, err)
	}
	mustRead(t, f, Block, pattern(9, 1))
	if !r.broken {
		t.Error("the ring would be used again")
	}
	rings.put(r)
	if slices.Contains(rings.idle, r) {
		t.Error("the ring is kept for another write")
	}
}

// Where the kernel gives no ring, for there is a limit, a write takes the other
// way.
func TestAWriteGoesOnWithoutARing(t *testing.T) {
	d, dir := OSBy(AIO), t.TempDir()
	if m, err := d.SyncMethod(dir); m != AIO {
		t.Skip(err)
	}
	f := create(t, d, filepath.Join(dir, "f"), 2).(*osFile)
	r := &ring{broken: true} // whose context the kernel does not know
	r.submit = r.submitTo
	if _, err := r.write(f.async, pattern(9, 1), Block); !errors.Is(err, errNotBegun) {
		t.Fatal(err)
	}
	rings.mu.Lock()
	kept := rings.idle
	rings.idle = []*ring{r}
	rings.mu.Unlock()
	defer func() { rings.idle = kept }()
	if err := f.WriteSync(pattern(9, 1), Block); err != nil {
		t.Fatal(err)
	}
	mustRead(t, f, Block, pattern(9, 1))
}

//go:build linux && (amd64 || arm64)

package file

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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
	for _, m := range []Method{Plain, Direct} {
		d := osBy(m)
		_, err := d.Create(filepath.Join(dir, "f"), 1<<20, nil)
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

//go:build unix

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Disk is the operating system's file system. Many goroutines may use it.
type Disk struct {
	readOnly bool
	prefer   Method

	mu     sync.Mutex
	trials map[string]trial // by directory
}

// OS is the operating system's file system. It writes by Direct, or by Plain
// where that does not work.
func OS() *Disk { return osBy(Direct) }

func osBy(m Method) *Disk { return &Disk{prefer: m} }

// ReadOnly is OS for looking only: whatever changes something returns
// ErrReadOnly, and does not happen.
func ReadOnly() *Disk { return &Disk{readOnly: true} }

// MkdirAll makes dir, and those above it that are missing, for the owner alone.
// It syncs as it goes down, so that dir survives a crash once it has returned,
// even if an earlier process made a part of it and died.
func (d *Disk) MkdirAll(dir string) error {
	if err := d.mayChange("make", dir); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("make the directory %s: a file is there: move it away, or name another directory", dir)
	case err == nil:
		err := d.SyncDir(parent)
		if errors.Is(err, fs.ErrPermission) {
			return nil // dir was made by someone with more rights, not by us
		}
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.MkdirAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}

// List gives the names of the files in dir, sorted; directories are left out.
func (d *Disk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Rename gives old the name new, in place of what new named.
func (d *Disk) Rename(old, new string) error {
	if err := d.mayChange("rename", old); err != nil {
		return err
	}
	return os.Rename(old, new)
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	if err := d.mayChange("remove", name); err != nil {
		return err
	}
	return os.Remove(name)
}

// SyncDir makes the names in dir survive a crash.
func (d *Disk) SyncDir(dir string) error {
	if err := d.mayChange("sync", dir); err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// mayChange is the error of changing name through a Disk that must not.
func (d *Disk) mayChange(what, name string) error {
	if d.readOnly {
		return fmt.Errorf("%s %s: %w", what, name, ErrReadOnly)
	}
	return nil
}

//go:build unix

package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Method is how WriteSync makes bytes durable.
type Method string

// Direct costs less CPU than Plain, because nothing passes through the page
// cache. With both a write holds one of the GOMAXPROCS processors until Go's
// monitor takes it back, 20 us at best and the whole write at worst.
const (
	Direct Method = "direct"    // write to a file with O_DIRECT and O_DSYNC
	Plain  Method = plainMethod // write, then fdatasync or what stands for it
)

// SyncMethod tells how WriteSync works on the files in dir, and if that is not
// as the Disk was asked to, why not. It finds out by a trial, once for each
// directory, in a scratch file.
func (d *Disk) SyncMethod(dir string) (Method, error) {
	if err := d.mayChange("write in", dir); err != nil {
		return Plain, err
	}
	dir = filepath.Clean(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	t, tried := d.trials[dir]
	if !tried {
		t = choose(dir, d.prefer)
		if d.trials == nil {
			d.trials = make(map[string]trial)
		}
		d.trials[dir] = t
	}
	return t.method, t.refused
}

// trial is what SyncMethod found out about a directory.
type trial struct {
	method  Method
	refused error // Direct, if that was asked for
}

// choose gives prefer if it works in dir, else Plain.
func choose(dir string, prefer Method) trial {
	if prefer == Direct {
		err := tryDirect(dir)
		if err == nil {
			return trial{Direct, nil}
		}
		return trial{Plain, fmt.Errorf("%s does not work in %s: %w", Direct, dir, err)}
	}
	return trial{Plain, nil}
}

// tryDirect writes a block into a scratch file, and looks whether it is there. The
// block lies at an odd multiple of Block, so that a device with larger ones refuses
// it.
func tryDirect(dir string) error {
	f, err := os.CreateTemp(dir, ".sync-trial-*")
	if err != nil {
		return err
	}
	o := &osFile{f: f, size: 2 * Block}
	o.direct, err = openDirect(f.Name(), true)
	err = errors.Join(err, os.Remove(f.Name()))
	if err == nil {
		err = fill(f, o.size, nil)
	}
	if err == nil {
		err = o.try()
	}
	return errors.Join(err, o.Close())
}

func (o *osFile) try() error {
	b := Aligned(Block)
	for i := range b {
		b[i] = byte(i)
	}
	if err := o.write(b, Block); err != nil {
		return err
	}
	read := make([]byte, Block)
	if _, err := o.f.ReadAt(read, Block); err != nil {
		return err
	}
	if !bytes.Equal(read, b) {
		return errors.New("what it wrote reads differently")
	}
	return nil
}

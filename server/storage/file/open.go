//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a file of size bytes, a multiple of Block. What it could not
// finish it removes.
func (d *Disk) Create(name string, size int64, pace func(int64)) (File, error) {
	if err := d.mayChange("create", name); err != nil {
		return nil, err
	}
	if size < 0 || size%Block != 0 {
		return nil, fmt.Errorf("create %s: its size of %d bytes is not a multiple of %d", name, size, Block)
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	o := &osFile{disk: d, f: f, size: size}
	if err := o.create(pace); err != nil {
		err = fmt.Errorf("create %s of %d bytes: %w%s", name, size, cause(err), advice(err))
		return nil, errors.Join(err, o.Close(), os.Remove(name))
	}
	return o, nil
}

// create fills a new file.
func (o *osFile) create(pace func(int64)) error {
	if err := reserve(o.f, o.size); err != nil {
		return err
	}
	if err := o.openToWrite(); err != nil {
		return err
	}
	if err := o.fill(pace); err != nil {
		return err
	}
	return o.f.Sync()
}

// fill writes the zeros, past the page cache if WriteSync goes past it: pages
// there would have to be dropped one by one later.
func (o *osFile) fill(pace func(int64)) error {
	if o.direct == nil {
		return fill(o.f, o.size, pace)
	}
	f, err := openDirect(o.f.Name(), false)
	if err != nil {
		return err
	}
	return errors.Join(fill(f, o.size, pace), f.Close())
}

const (
	zerosAtOnce = 1 << 20
	zerosPaced  = 64 << 10 // between two calls of pace
)

// fill writes size zeros to f.
func fill(f *os.File, size int64, pace func(int64)) error {
	most := int64(zerosAtOnce)
	if pace != nil {
		most = zerosPaced
	}
	zeros := Aligned(int(min(size, most)))
	for off := int64(0); off < size; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off); err != nil {
			return err
		}
		if pace != nil {
			pace(min(off+int64(len(zeros)), size))
		}
	}
	return nil
}

// Open opens a file, which nothing else must be writing.
func (d *Disk) Open(name string) (File, error) {
	flag := os.O_RDWR
	if d.readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	o := &osFile{disk: d, f: f}
	info, err := f.Stat()
	if err == nil {
		o.size = info.Size()
		if !d.readOnly {
			err = o.openToWrite()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, cause(err)), o.Close())
	}
	return o, nil
}

// openToWrite opens what the method for the file's directory needs.
func (o *osFile) openToWrite() (err error) {
	method, _ := o.disk.SyncMethod(filepath.Dir(o.f.Name()))
	if method == Plain {
		return nil
	}
	o.direct, err = openDirect(o.f.Name(), true)
	return err
}

// cause is err without the call and the file that failed, when the caller has
// said more about both.
func cause(err error) error {
	var p *os.PathError
	var s *os.SyscallError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &s):
		return s.Err
	}
	return err
}

// advice says what to do about err, if there is something to do.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ": free space there, or move the data directory to a larger file system"
	case errors.Is(err, syscall.EIO):
		return ": look at the system's log, the device may be failing"
	}
	return ""
}

//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
)

// osFile is an open file of the operating system.
type osFile struct {
	disk   *Disk
	f      *os.File // for all but WriteSync
	direct *os.File // the same file for Direct, nil for Plain
	size   int64    // never changes while it is open
	failed error    // of an earlier write: the file holds something unknown
}

func (o *osFile) Size() (int64, error) { return o.size, nil }

func (o *osFile) ReadAt(b []byte, off int64) (int, error) { return o.f.ReadAt(b, off) }

func (o *osFile) Close() error {
	err := o.f.Close()
	if o.direct != nil {
		err = errors.Join(err, o.direct.Close())
	}
	return err
}

// WriteSync refuses every write after one that failed.
func (o *osFile) WriteSync(b []byte, off int64) error {
	if err := o.admitWrite(b, off); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil
	}
	if err := o.write(b, off); err != nil {
		o.failed = fmt.Errorf("write %d bytes at %d of %s: %w%s", len(b), off, o.f.Name(), cause(err), advice(err))
	}
	return o.failed
}

// admitWrite refuses what a WriteSync must not be asked for.
func (o *osFile) admitWrite(b []byte, off int64) error {
	if err := o.disk.mayChange("write", o.f.Name()); err != nil {
		return err
	}
	why := ""
	switch {
	case o.failed != nil:
		return fmt.Errorf("write %d bytes at %d after a write that failed: %w", len(b), off, o.failed)
	case off%Block != 0 || len(b)%Block != 0:
		why = fmt.Sprintf("both must be multiples of %d", Block)
	case !isAligned(b):
		why = fmt.Sprintf("the buffer must begin at a multiple of %d in memory: take it from Aligned", Block)
	case off < 0 || int64(len(b)) > o.size-off:
		why = fmt.Sprintf("the file ends at %d", o.size)
	default:
		return nil
	}
	return fmt.Errorf("write %d bytes at %d of %s: %s", len(b), off, o.f.Name(), why)
}

// write writes b at off and makes it durable, by the file's method.
func (o *osFile) write(b []byte, off int64) error {
	if o.direct != nil {
		_, err := o.direct.WriteAt(b, off)
		return err
	}
	if _, err := o.f.WriteAt(b, off); err != nil {
		return err
	}
	return syncData(o.f)
}

//go:build unix

package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFileAtomic puts data in the file name, in place of what it held. After a
// crash it holds the one or the other, and data once this has returned. It goes
// through the file name.tmp, which a crash leaves behind and the next call
// overwrites; so one goroutine at a time writes a name.
func WriteFileAtomic(name string, data []byte) error {
	tmp := name + ".tmp"
	err := writeSynced(tmp, data)
	if err == nil {
		err = os.Rename(tmp, name)
	}
	if err != nil {
		if remove := os.Remove(tmp); !errors.Is(remove, os.ErrNotExist) {
			err = errors.Join(err, remove)
		}
		return fmt.Errorf("write %s: %w%s", name, err, advice(err))
	}
	if err := OS().SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("write %s: sync its directory: %w", name, err)
	}
	return nil
}

// writeSynced writes a file of its own and syncs it.
func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

package storage

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/state"
	"github.com/pbft-go/pbft/server/storage/wal"
)

// Inspection is a data directory that is opened to look only.
type Inspection struct {
	Config      *config.Config // as far as a directory tells: what replicas agree on
	Cluster     crypto.ClusterID
	Replica     int
	Incarnation uint32
	State       *state.DB

	dir  string
	lock io.Closer
}

// Inspect opens a data directory that no replica uses, and changes nothing.
func Inspect(dir string) (i *Inspection, err error) {
	i = &Inspection{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	m, err := readMarker(dir)
	if err != nil {
		return i, err
	}
	if m == nil {
		return i, fmt.Errorf("%s has no %s: it is not a data directory", dir, markerName)
	}
	id, err := hex.DecodeString(m.Cluster)
	if err != nil || len(id) != len(i.Cluster) {
		return i, fmt.Errorf("%s: cluster is %q, not 64 hexadecimal digits", filepath.Join(dir, markerName), m.Cluster)
	}
	i.Cluster, i.Replica, i.Incarnation = crypto.ClusterID(id), m.Replica, m.Incarnation
	if i.Config, err = config.Offline(i.Cluster, m.Agreed); err != nil {
		return i, fmt.Errorf("%s: %w", filepath.Join(dir, markerName), err)
	}
	if m.Replica < 0 || m.Replica >= len(i.Config.Nodes) {
		return i, fmt.Errorf("%s: replica %d of %d", filepath.Join(dir, markerName), m.Replica, len(i.Config.Nodes))
	}
	if i.lock, err = file.Lock(filepath.Join(dir, lockName)); err != nil {
		return i, fmt.Errorf("data directory %s is in use: %w", dir, err)
	}
	i.State, err = state.Open(state.Options{Dir: filepath.Join(dir, stateName), ReadOnly: true})
	if err != nil {
		return i, fmt.Errorf("state on disk: %w", err)
	}
	return i, nil
}

// Replay gives every record of the log, in order.
func (i *Inspection) Replay(f func(*consensus.Record) error) (wal.Stats, error) {
	l, err := wal.Open(wal.Options{
		FS: file.ReadOnly(), Dir: filepath.Join(i.dir, logName), Cluster: i.Cluster, ReadOnly: true,
		Limits:       message.Limits{MaxBatch: i.Config.MaxBatch, MaxBatchBytes: i.Config.MaxBatchBytes},
		SegmentBytes: max(wal.DefaultSegmentBytes, 2*int64(i.Config.MaxBatchBytes)),
	}, f)
	if err != nil {
		return wal.Stats{}, fmt.Errorf("the log of promises: %w", err)
	}
	return l.Stats(), l.Close()
}

// Close lets the directory go.
func (i *Inspection) Close() error { return letGo(&i.State, &i.lock) }

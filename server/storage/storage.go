// Package storage is what a replica keeps on disk: a data directory with
//
//	replica.yaml  whose it is (marker.go)
//	LOCK          held while a process uses it
//	log/          the log of promises: votes, bodies, view changes (package wal)
//	state/        application state, client table, history (package state)
//
// A replica never sends a promise that it could forget: what the core wants
// recorded goes through a Writer, and what waits for it leaves afterwards. The
// log holds what the state does not contain yet. docs/operations.md tells how to
// run it, docs/log-format.md how the log's bytes lie.
package storage

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/state"
	"github.com/pbft-go/pbft/server/storage/wal"
)

const (
	lockName  = "LOCK"
	logName   = "log"
	stateName = "state"
)

// Options say which directory to open.
type Options struct {
	Dir      string
	Identity Identity
	Limits   message.Limits
	Logger   *slog.Logger
	Failed   func(error) // the disk failed beside a call; from any goroutine
}

// Storage is an open data directory.
type Storage struct {
	State *state.DB
	New   bool // the directory was empty

	o    Options
	disk *file.Disk
	lock io.Closer
}

// Open takes a data directory, and makes it if it is missing. Replay follows.
// Errors name the file and what to do; none of them is repaired by guessing.
func Open(o Options) (s *Storage, err error) {
	s = &Storage{o: o, disk: file.OS()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.disk.MkdirAll(o.Dir); err != nil {
		return s, fmt.Errorf("data directory %s: %w", o.Dir, err)
	}
	if s.lock, err = file.Lock(filepath.Join(o.Dir, lockName)); err != nil {
		return s, fmt.Errorf("data directory %s is in use: %w", o.Dir, err)
	}
	if s.New, err = claim(o.Dir, &o.Identity); err != nil {
		return s, err
	}
	s.State, err = state.Open(state.Options{Dir: filepath.Join(o.Dir, stateName), Logger: o.Logger, Failed: o.Failed})
	if err != nil {
		return s, fmt.Errorf("state on disk: %w", err)
	}
	return s, nil
}

// Replay gives every record of the log, in order, and opens it for more.
func (s *Storage) Replay(f func(*consensus.Record) error) (*wal.Log, error) {
	l, err := wal.Open(s.logOptions(), f)
	if err != nil {
		return nil, fmt.Errorf("the log of promises: %w", err)
	}
	return l, nil
}

func (s *Storage) logOptions() wal.Options {
	return wal.Options{
		FS: s.disk, Dir: filepath.Join(s.o.Dir, logName), Cluster: s.o.Identity.Cluster, Limits: s.o.Limits,
		SegmentBytes: max(wal.DefaultSegmentBytes, 2*int64(s.o.Limits.MaxBatchBytes)),
	}
}

// Close lets the directory go, once. The log is closed by its Writer, before.
func (s *Storage) Close() error { return letGo(&s.State, &s.lock) }

// letGo closes what is open of a directory.
func letGo(db **state.DB, lock *io.Closer) error {
	var errs []error
	if *db != nil {
		errs = append(errs, (*db).Close())
	}
	if *lock != nil {
		errs = append(errs, (*lock).Close())
	}
	*db, *lock = nil, nil
	return errors.Join(errs...)
}

// Sync is how the log is written: by which system calls.
func (s *Storage) Sync() string {
	method, err := s.disk.SyncMethod(filepath.Join(s.o.Dir, logName))
	if err != nil {
		return fmt.Sprintf("%s (%v)", method, err)
	}
	return string(method)
}

// LogBytes is what the log takes on disk.
func (s *Storage) LogBytes() (sum int64) {
	entries, err := os.ReadDir(filepath.Join(s.o.Dir, logName))
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if i, err := e.Info(); err == nil {
			sum += i.Size()
		}
	}
	return sum
}

package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/storage"
	"github.com/pbft-go/pbft/server/storage/file"
	"github.com/pbft-go/pbft/server/storage/file/crashfs"
	"github.com/pbft-go/pbft/server/storage/state"
	"github.com/pbft-go/pbft/server/storage/wal"
)

// disk is what a replica keeps through a loss of power: the log and the state
// database that production has, each on a file system in memory that forgets
// what was not synced. What waits to be written, and when, is in persist.go.
//
// The database works in goroutines of its own. Nothing that they do shows: what
// it holds is decided by the saves that were committed, and these are waited for.
type disk struct {
	h     *host
	files *crashfs.Disk // of the log
	log   *wal.Log      // nil: the power is off
	state stateFiles
	db    *state.DB

	ops    int   // operations of the log's files until power fails, 0: it does not
	broken error // of every write
	full   bool  // only files that grow are affected by it
	slow   int64 // everything takes so many times as long
	rotten bool  // a record is damaged
	failed bool  // an operation has failed in this life

	backup *disk // an older copy of the files, or nil

	writing
}

const (
	logDir   = "log"
	stateDir = "state"
)

func newDisk(h *host) *disk {
	d := &disk{h: h, slow: 1}
	d.clear()
	return d
}

// clear puts an empty disk in the place of this one.
func (d *disk) clear() {
	d.files = crashfs.New()
	if d.h.liar != nil || d.h.w.plan.suffers(d.h.id, Tail) {
		d.files.Undo = mostLost
	}
	d.state.fs = vfs.NewCrashableMem()
	d.rotten = false
}

// mostLost is how many synced writes a disk can lose.
const mostLost = 16

// contents is what a disk gave back.
type contents struct {
	core    *consensus.Replica
	engine  *execution.Engine
	loaded  *execution.Loaded
	records []consensus.Record
}

// open takes up what is there, as the runtime does. Power may fail on the way.
func (d *disk) open() (c contents, err error) {
	h, p := d.h, d.h.w.plan
	d.writing, d.failed = writing{}, false
	d.files.OnOp = d.op
	if d.db, err = state.Open(state.Options{FS: d.state.wrap(d), Dir: stateDir, Small: true}); err != nil {
		return c, err
	}
	if c.engine, c.loaded, err = execution.Open(h.w.engineConfig(h.id), p.application(), d.db); err != nil {
		return c, err
	}
	from := consensus.Restored{N: c.loaded.N, LastTimeUS: c.loaded.LastTimeUS, Windows: c.loaded.Windows}
	y, err := consensus.NewRecovery(h.config(false), h.w.keys.signer(h.id), from)
	if err != nil {
		return c, err
	}
	d.log, err = wal.Open(wal.Options{
		FS: d.files, Dir: logDir, Cluster: clusterID, Limits: p.Limits, SegmentBytes: p.SegmentBytes, ID: [16]byte{1, byte(h.id)},
	}, func(r *consensus.Record) error {
		c.records = append(c.records, *r)
		return y.Take(r)
	})
	if err != nil {
		return c, err
	}
	c.core = y.Replica()
	d.keep = storage.NewRetention(c.loaded.N, y.Position())
	return c, nil
}

// op looks at each operation on the log's files before it takes effect.
func (d *disk) op(op crashfs.Op) error {
	if d.ops > 0 {
		if d.ops--; d.ops == 0 {
			d.h.w.cover.add("power failed: " + strings.SplitN(op.String(), " ", 2)[0])
			return crashfs.ErrCrash
		}
	}
	if d.broken != nil && (op.Kind == crashfs.Create || op.Kind == crashfs.Write && !d.full) {
		d.failed = true
		return d.broken
	}
	return nil
}

// powerFails takes the disk back to what survives. A write under way is cut
// anywhere, and so is a save.
func (d *disk) powerFails() {
	w := d.h.w
	switch {
	case d.log == nil || d.broken != nil:
	case d.making != nil && w.rnd.IntN(2) == 0:
		d.ops = 1
		d.making.Make()
	case d.busy && len(d.batch) > 0:
		d.ops = 1 + w.rnd.IntN(3)
		_, _ = d.write() // nobody is told how it went
	}
	d.ops = 0
	fs := d.state.fs
	if d.commit != nil && d.broken == nil {
		fs = d.cutCommit()
	} else {
		fs = fs.CrashClone(vfs.CrashCloneCfg{})
	}
	d.close()
	d.state.fs = fs
	d.files = d.files.Crash(d.power())
}

// power draws what becomes of what was undecided.
func (d *disk) power() crashfs.Power {
	r := d.h.w.rnd
	switch r.IntN(5) {
	case 0:
		return crashfs.Power{}
	case 1:
		return crashfs.Everything()
	case 2:
		return crashfs.Prefix(r.IntN(2) == 0, r.IntN(2*d.largestWrite()))
	}
	return crashfs.Random(r)
}

func (d *disk) largestWrite() int { return 8 << 10 }

// close ends the use of the database: its files are not touched any more.
func (d *disk) close() {
	d.log = nil
	if d.db == nil {
		return
	}
	if err := d.db.Close(); err != nil {
		d.h.w.check.fail("I17", "replica %d: the database does not close: %v", d.h.id, err)
	}
	d.db = nil
}

// copyNow remembers the files as they are: a backup.
func (d *disk) copyNow() {
	if d.log == nil {
		return
	}
	d.backup = &disk{files: d.files.Copy(), state: stateFiles{fs: d.state.fs.CrashClone(vfs.CrashCloneCfg{})}}
}

// goBack puts the backup in the place of the present files.
func (d *disk) goBack() bool {
	b := d.backup
	if b == nil {
		return false
	}
	d.files, d.state.fs = b.files.Copy().Crash(crashfs.Power{}), b.state.fs.CrashClone(vfs.CrashCloneCfg{})
	return true
}

// rot damages one byte of a frame that is not the last one. It reports false if
// there is no such frame.
func (d *disk) rot() bool {
	frames := d.frames()
	if len(frames) < 2 {
		return false
	}
	r := d.h.w.rnd
	f := frames[r.IntN(len(frames)-1)]
	if err := d.files.Flip(f.file, f.at+r.Int64N(f.size), byte(1)<<r.IntN(8)); err != nil {
		panic(err)
	}
	d.rotten = true
	return true
}

// frame is a place in a file of the log.
type frame struct {
	file     string
	at, size int64
}

// frames finds the log's frames, by the lengths in their headers.
func (d *disk) frames() (list []frame) {
	names, err := d.files.List(logDir)
	if err != nil {
		return nil
	}
	next := uint64(0)
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		name = path.Join(logDir, name)
		b, err := d.files.Content(name)
		if err != nil {
			panic(err)
		}
		for at := 0; at < len(b); {
			counter, size := frameAt(b[at:])
			if size == 0 || next != 0 && counter != next {
				break
			}
			list = append(list, frame{name, int64(at), size})
			next = counter + 1
			at += int(size)
		}
	}
	return list
}

// frameAt reads the counter and the size of a frame from its header, which
// docs/log-format.md describes; 0: there is none.
func frameAt(b []byte) (counter uint64, size int64) {
	if len(b) < file.Block || string(b[:4]) != "pblg" {
		return 0, 0
	}
	const header = 64
	size = header + int64(binary.BigEndian.Uint32(b[56:]))
	size = (size + file.Block - 1) / file.Block * file.Block
	return binary.BigEndian.Uint64(b[24:]), size
}

// stateFiles are the database's, and what is done to them.
type stateFiles struct {
	fs *vfs.MemFS

	mu    sync.Mutex
	cut   cut
	clone *vfs.MemFS // as it was there
	links bool       // the save's files have been linked
}

// cut is a moment within the commit of a save.
type cut uint8

const (
	cutNowhere cut = iota
	cutAtFiles     // before its files are linked into the database's directory
	cutAtName      // before the manifest that names them is synced
	numCuts
)

// wrap gives the database its files. What a commit does to them, and nothing
// else, can fail, since it alone is waited for: other goroutines would learn of
// an error at a time of their own.
func (s *stateFiles) wrap(d *disk) vfs.FS {
	fs := s.fs
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		link := op.Kind == errorfs.OpLink
		s.links = s.links || link
		manifest := (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasPrefix(path.Base(op.Path), "MANIFEST")
		if s.clone == nil && (s.cut == cutAtFiles && link || s.cut == cutAtName && s.links && manifest) {
			s.clone = fs.CrashClone(vfs.CrashCloneCfg{})
		}
		if link && d.broken != nil {
			return d.broken
		}
		return nil
	}))
}

// cutCommit lets power fail while a save is committed, or behind that, before
// anybody is told.
func (d *disk) cutCommit() *vfs.MemFS {
	s, p := &d.state, d.commit
	which := cut(d.h.w.rnd.IntN(int(numCuts) + 1))
	if which == numCuts {
		d.h.w.cover.add("power failed: before a save")
		return s.fs.CrashClone(vfs.CrashCloneCfg{})
	}
	s.mu.Lock()
	s.cut, s.clone, s.links = which, nil, false
	s.mu.Unlock()
	if err := p.Commit(); err != nil {
		panic(fmt.Sprintf("sim: save of %d: %v", p.N(), err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clone := s.clone
	s.cut, s.clone = cutNowhere, nil
	if clone != nil {
		d.h.w.cover.add("power failed: within a save")
		return clone
	}
	d.h.w.cover.add("power failed: behind a save")
	return s.fs.CrashClone(vfs.CrashCloneCfg{})
}

// lostPower reports whether an error is that of a disk without power.
func lostPower(err error) bool { return errors.Is(err, crashfs.ErrCrash) }

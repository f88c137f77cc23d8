package state

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// disk lets a test stand between a database and its files.
type disk struct {
	*vfs.MemFS
	link   sync.Mutex
	mu     sync.Mutex
	before func(op errorfs.Op) error
}

// on sets what is called before each operation.
func (d *disk) on(f func(op errorfs.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// MaybeError and String implement errorfs.Injector.
func (d *disk) MaybeError(op errorfs.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before == nil {
		return nil
	}
	return d.before(op)
}

func (d *disk) String() string { return "disk" }

// Link implements vfs.FS. MemFS locks twice in it, which a clone in between turns
// into a deadlock.
func (d *disk) Link(from, to string) error {
	d.link.Lock()
	defer d.link.Unlock()
	return d.MemFS.Link(from, to)
}

// crash is the disk as a loss of power may leave it.
func (d *disk) crash(rnd *rand.Rand, unsynced int) *vfs.MemFS {
	d.link.Lock()
	defer d.link.Unlock()
	return d.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rnd})
}

// write commits a save that changes all of several tables: every value is that
// of the round.
func write(d *DB, round int) error {
	s, err := d.NewSave()
	if err != nil {
		return err
	}
	text := strings.Repeat(fmt.Sprint(round, " "), 400)
	for i := range 600 {
		for _, t := range "ab" {
			if err := s.Put(fmt.Appendf(nil, "%c%06d", t, i), []byte(text)); err != nil {
				return err
			}
		}
	}
	_ = s.DeleteRange(fmt.Appendf(nil, "c%06d", round-1), fmt.Appendf(nil, "c%06d", round))
	_ = s.Cut([]byte("c"))
	_ = s.Put(fmt.Appendf(nil, "c%06d", round), []byte(text))
	return s.Commit()
}

// roundOf tells which round a database holds, and fails if it holds parts of
// several.
func roundOf(t *testing.T, d *DB) int {
	t.Helper()
	round, keys, c := -1, 0, 0
	must(t, d.Scan([]byte("a"), []byte("z"), func(key, value []byte) error {
		var r int
		if _, err := fmt.Sscan(string(value), &r); err != nil {
			return err
		}
		if keys++; keys > 1 && r != round {
			return fmt.Errorf("%s is of round %d, others of %d", key, r, round)
		}
		round = r
		if key[0] == 'c' {
			c++
		}
		return nil
	}))
	if keys > 0 && (keys != 1201 || c != 1) {
		t.Fatalf("round %d with %d keys, %d in c", round, keys, c)
	}
	return round
}

// TestACrashAnywhereLeavesASaveWhole: at each operation on the files of a save
// and of its commit.
func TestACrashAnywhereLeavesASaveWhole(t *testing.T) {
	step := 5
	if testing.Short() {
		step = 29
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	mem := &disk{MemFS: vfs.NewCrashableMem()}
	d, err := Open(Options{FS: errorfs.Wrap(mem, mem), Dir: "db", Small: true})
	must(t, err)
	must(t, write(d, 0), write(d, 1))
	var crashed []*vfs.MemFS
	ops := 0
	for round := 2; round < 5; round++ {
		mem.on(func(op errorfs.Op) error {
			if ops++; op.Kind.ReadOrWrite() == errorfs.OpIsWrite && ops%step == 0 {
				crashed = append(crashed, mem.crash(rnd, []int{0, 50, 100}[ops/step%3]))
			}
			return nil
		})
		must(t, write(d, round))
		mem.on(nil)
		seen := map[int]bool{}
		for _, clone := range append(crashed, mem.crash(rnd, 0)) {
			d, err := Open(Options{FS: clone, Dir: "db", Small: true})
			must(t, err)
			got := roundOf(t, d)
			if got != round && got != round-1 {
				t.Fatalf("round %d after a crash in round %d", got, round)
			}
			seen[got] = true
			if names, err := clone.List("db/save"); len(names) > 0 || err != nil {
				t.Fatalf("left: %v %v", names, err)
			}
			must(t, write(d, got+1))
			must(t, d.Close())
		}
		if len(crashed) < 5 || !seen[round] || !seen[round-1] {
			t.Fatalf("%d crashes gave rounds %v: the test shows too little", len(crashed), seen)
		}
		crashed = nil
	}
	must(t, d.Close())
}

// TestWhatIsCommittedSurvives: a crash right behind the commit gives it back.
func TestWhatIsCommittedSurvives(t *testing.T) {
	mem := &disk{MemFS: vfs.NewCrashableMem()}
	d, err := Open(Options{FS: mem, Dir: "db", Small: true})
	must(t, err)
	for round := range 12 {
		must(t, write(d, round))
		after, err := Open(Options{FS: mem.crash(nil, 0), Dir: "db", Small: true})
		must(t, err)
		if got := roundOf(t, after); got != round {
			t.Fatalf("round %d after the commit of %d", got, round)
		}
		must(t, after.Close())
	}
	must(t, d.Close())
}

var errDisk = errors.New("the disk is broken")

// TestAFailedWriteIsReported: whichever operation of a save fails, its commit
// says so, or the host hears of it, and the state before is still there.
func TestAFailedWriteIsReported(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpLink} {
		for _, where := range []string{"save/", ".sst", "MANIFEST"} {
			mem := &disk{MemFS: vfs.NewCrashableMem()}
			heard := make(chan error, 100)
			d, err := Open(Options{FS: errorfs.Wrap(mem, mem), Dir: "db", Small: true, Failed: func(err error) { heard <- err }})
			must(t, err)
			must(t, write(d, 0))
			hit := 0
			mem.on(func(op errorfs.Op) error {
				if op.Kind == kind && strings.Contains(op.Path, where) && hit == 0 {
					hit++
					return errDisk
				}
				return nil
			})
			err = write(d, 1)
			mem.on(nil)
			switch {
			case hit == 0 && err != nil:
				t.Fatalf("%v %s: nothing failed, and yet: %v", kind, where, err)
			case hit > 0 && where == "MANIFEST" && (err == nil || len(heard) == 0):
				t.Fatalf("%v %s: the host did not hear of the failure: %v", kind, where, err)
			}
			want := 1 // Pebble copies what it cannot link
			if err != nil {
				want = 0
			}
			after, err := Open(Options{FS: mem.crash(nil, 0), Dir: "db", Small: true})
			must(t, err)
			if got := roundOf(t, after); got != want {
				t.Fatalf("%v %s: round %d, want %d", kind, where, got, want)
			}
			must(t, after.Close(), d.Close())
		}
	}
}

// TestADiskThatCannotBeginIsReported: Pebble would end the process.
func TestADiskThatCannotBeginIsReported(t *testing.T) {
	mem := &disk{MemFS: vfs.NewCrashableMem()}
	mem.on(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && strings.Contains(op.Path, "MANIFEST") {
			return errDisk
		}
		return nil
	})
	heard := make(chan error, 100)
	d, err := Open(Options{FS: errorfs.Wrap(mem, mem), Dir: "db", Small: true, Failed: func(err error) { heard <- err }})
	if d != nil || err == nil || len(heard) == 0 {
		t.Fatalf("%v, and %d reports", err, len(heard))
	}
	if err := <-heard; !strings.Contains(err.Error(), errDisk.Error()) {
		t.Fatal(err)
	}
}

// TestDamageIsFoundAndReported: a byte that changed on disk is never read as if
// it were right.
func TestDamageIsFoundAndReported(t *testing.T) {
	mem := vfs.NewMem()
	d, err := Open(Options{FS: mem, Dir: "db", Small: true})
	must(t, err)
	must(t, write(d, 0), d.Close())
	names, err := mem.List("db")
	must(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := mem.OpenReadWrite("db/"+name, vfs.WriteCategoryUnspecified)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, 100)
		must(t, err)
		_, err = f.WriteAt([]byte{b[0] ^ 1}, 100)
		must(t, err, f.Close())
	}
	var heard atomic.Int64
	d, err = Open(Options{FS: mem, Dir: "db", Small: true, Failed: func(error) { heard.Add(1) }})
	must(t, err)
	if err := d.Scan([]byte("a"), []byte("z"), func(_, _ []byte) error { return nil }); err == nil || heard.Load() == 0 {
		t.Fatalf("scan: %v, and %d reports", err, heard.Load())
	}
	heard.Store(0)
	if _, _, err := d.Get([]byte("a000000")); err == nil || heard.Load() == 0 {
		t.Fatalf("get: %v, and %d reports", err, heard.Load())
	}
	must(t, d.Close())
}

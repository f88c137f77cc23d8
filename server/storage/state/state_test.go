package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// open opens a database, and closes it at the end of the test. What it reports
// fails the test.
func open(t *testing.T, fs vfs.FS) *DB {
	t.Helper()
	d, err := Open(Options{FS: fs, Dir: "db", Small: true, Failed: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func begin(t *testing.T, d *DB) Changes {
	t.Helper()
	s, err := d.NewSave()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// put commits a save of the given keys and values, by turns.
func put(t *testing.T, d *DB, pairs ...string) {
	t.Helper()
	s := begin(t, d)
	for i := 0; i < len(pairs); i += 2 {
		must(t, s.Put([]byte(pairs[i]), []byte(pairs[i+1])))
	}
	must(t, s.Commit())
}

// content is all that a database holds.
func content(t *testing.T, d *DB) string {
	t.Helper()
	var b strings.Builder
	must(t, d.Scan([]byte{0}, []byte{255}, func(key, value []byte) error {
		fmt.Fprintf(&b, "%s=%s ", key, value)
		return nil
	}))
	return b.String()
}

func TestASaveIsSeenOnceItIsCommitted(t *testing.T) {
	d := open(t, vfs.NewMem())
	put(t, d, "a1", "old", "a2", "old", "b", "old")
	s := begin(t, d)
	must(t, s.Put([]byte("a1"), []byte("new")), s.Delete([]byte("a2")), s.Put([]byte("c"), nil))
	if got := content(t, d); got != "a1=old a2=old b=old " {
		t.Fatalf("before the commit: %s", got)
	}
	must(t, s.Commit())
	if got := content(t, d); got != "a1=new b=old c= " {
		t.Fatalf("after it: %s", got)
	}
	if v, ok, err := d.Get([]byte("a1")); string(v) != "new" || !ok || err != nil {
		t.Fatalf("a1: %q %v %v", v, ok, err)
	}
	if v, ok, err := d.Get([]byte("a2")); v != nil || ok || err != nil {
		t.Fatalf("a2: %q %v %v", v, ok, err)
	}
	if m := d.Metrics(); m.Saves != 2 || m.DiskBytes == 0 || m.Files == 0 || d.DiskUsage() != m.DiskBytes {
		t.Fatalf("metrics %+v", m)
	}
}

func TestAnAbortedSaveLeavesNothing(t *testing.T) {
	mem := vfs.NewMem()
	d := open(t, mem)
	put(t, d, "a", "old")
	s := begin(t, d)
	must(t, s.Put([]byte("a"), []byte("new")))
	s.Abort()
	if got := content(t, d); got != "a=old " {
		t.Fatal(got)
	}
	if names, err := mem.List("db/save"); len(names) > 0 || err != nil {
		t.Fatalf("left: %v %v", names, err)
	}
	if err := s.Put([]byte("b"), nil); err == nil {
		t.Fatal("an aborted save takes changes")
	}
	if err := s.Commit(); err == nil {
		t.Fatal("an aborted save is committed")
	}
	put(t, d, "a", "newer")
}

// TestARangeIsDeletedAsItWasBeforeTheSave: what the same save puts into the range
// stays, in however many files it is.
func TestARangeIsDeletedAsItWasBeforeTheSave(t *testing.T) {
	d := open(t, vfs.NewMem())
	key := func(i int) []byte { return binary.BigEndian.AppendUint32([]byte("a"), uint32(i)) }
	value := bytes.Repeat([]byte("v"), 1000)
	fill := func(s Changes, from, to, step int) {
		for i := from; i < to; i += step {
			must(t, s.Put(key(i), append(value, byte(i))))
		}
	}
	s := begin(t, d)
	fill(s, 0, 3000, 1)
	must(t, s.Commit())
	s = begin(t, d)
	must(t, s.DeleteRange(key(500), key(2500)))
	fill(s, 500, 2500, 2)
	must(t, s.DeleteRange(key(2600), key(2700)), s.Delete(key(2750)))
	must(t, s.Commit())
	want := func(i int) bool {
		return i < 500 || i >= 2500 && i < 2600 || i >= 2700 && i != 2750 || i < 2500 && i%2 == 0
	}
	check := func(d *DB) {
		t.Helper()
		next := 0
		must(t, d.Scan([]byte("a"), []byte("b"), func(k, v []byte) error {
			i := int(binary.BigEndian.Uint32(k[1:]))
			for ; next < i; next++ {
				if want(next) {
					return fmt.Errorf("%d is missing", next)
				}
			}
			next++
			if !want(i) || len(v) != 1001 || v[1000] != byte(i) {
				return fmt.Errorf("%d is there, %d bytes", i, len(v))
			}
			return nil
		}))
		if next != 3000 {
			t.Fatalf("the last one is %d", next)
		}
	}
	check(d)
	must(t, d.pebble.Compact(t.Context(), []byte("a"), []byte("b"), false))
	check(d)
	if m := d.Metrics(); m.Files < 2 {
		t.Fatalf("%d files: the test shows nothing", m.Files)
	}
	s = begin(t, d)
	must(t, s.DeleteRange([]byte("a"), []byte("b")), s.Commit())
	if got := content(t, d); got != "" {
		t.Fatalf("%d bytes are left", len(got))
	}
}

// TestACutKeepsAFarRangeApart: without it the file that removes the oldest keys
// would reach to the newest, and all between would be written again.
func TestACutKeepsAFarRangeApart(t *testing.T) {
	d := open(t, vfs.NewMem())
	key := func(i int) []byte { return fmt.Appendf(nil, "a%04d", i) }
	value := bytes.Repeat([]byte("v"), 20_000)
	const saves, keep = 60, 20
	for i := range saves {
		s := begin(t, d)
		if i >= keep {
			must(t, s.DeleteRange(key(i-keep), key(i-keep+1)), s.Cut([]byte("a")))
		}
		must(t, s.Put(key(i), value), s.Put([]byte("b"), key(i)), s.Commit())
	}
	must(t, d.pebble.Compact(t.Context(), []byte("a"), []byte("c"), false))
	keys := 0
	must(t, d.Scan([]byte("a"), []byte("b"), func(k, _ []byte) error {
		if want := key(saves - keep + keys); !bytes.Equal(k, want) {
			return fmt.Errorf("%s, want %s", k, want)
		}
		keys++
		return nil
	}))
	if m := d.Metrics(); keys != keep || m.CompactedBytes > uint64(saves*len(value)) {
		t.Fatalf("%d keys, %d bytes were compacted, %d written", keys, m.CompactedBytes, saves*len(value))
	}
}

func TestKeysOfATableMustRise(t *testing.T) {
	for name, wrong := range map[string]func(s Changes) error{
		"a key twice":       func(s Changes) error { return s.Put([]byte("ab"), nil) },
		"a key below":       func(s Changes) error { return s.Delete([]byte("aa")) },
		"an empty key":      func(s Changes) error { return s.Put(nil, nil) },
		"an empty range":    func(s Changes) error { return s.DeleteRange([]byte("ac"), []byte("ac")) },
		"a range of tables": func(s Changes) error { return s.DeleteRange([]byte("ac"), []byte("bb")) },
		"a range in a range": func(s Changes) error {
			return errors.Join(s.DeleteRange([]byte("ac"), []byte("ae")), s.DeleteRange([]byte("ad"), []byte("af")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, vfs.NewMem())
			s := begin(t, d)
			must(t, s.Put([]byte("ab"), nil))
			if err := errors.Join(wrong(s), s.Commit()); err == nil {
				t.Fatal("committed")
			}
			put(t, d, "a", "v") // the next one can begin
			if got := content(t, d); got != "a=v " {
				t.Fatal(got)
			}
		})
	}
}

func TestThereIsOneSaveAtATime(t *testing.T) {
	d := open(t, vfs.NewMem())
	s := begin(t, d)
	if _, err := d.NewSave(); err == nil {
		t.Fatal("two")
	}
	must(t, s.Commit()) // of nothing
	begin(t, d).Abort()
}

func TestOpenToLookChangesNothing(t *testing.T) {
	mem := vfs.NewMem()
	if _, err := Open(Options{FS: mem, Dir: "db", ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("of nothing: %v", err)
	}
	d, err := Open(Options{FS: mem, Dir: "db", Small: true})
	must(t, err)
	put(t, d, "a", "v")
	if _, err := Open(Options{FS: mem, Dir: "db", ReadOnly: true}); err == nil {
		t.Fatal("while another has it open")
	}
	must(t, d.Close())
	if d, err = Open(Options{FS: mem, Dir: "db", ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	if got := content(t, d); got != "a=v " {
		t.Fatal(got)
	}
	if _, err := d.NewSave(); err == nil {
		t.Fatal("a save")
	}
	must(t, d.Close())
}

func TestAScanEndsWithTheErrorOfItsReader(t *testing.T) {
	d := open(t, vfs.NewMem())
	put(t, d, "a", "1", "b", "2")
	enough := errors.New("enough")
	seen := 0
	if err := d.Scan([]byte("a"), []byte("z"), func(_, _ []byte) error { seen++; return enough }); !errors.Is(err, enough) || seen != 1 {
		t.Fatalf("%v after %d", err, seen)
	}
}

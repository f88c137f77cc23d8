package crashfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pbft-go/pbft/server/storage/file"
)

var _ file.FS = (*Disk)(nil)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// filled is a buffer of blocks full of one byte.
func filled(blocks int, c byte) []byte {
	b := file.Aligned(blocks * file.Block)
	for i := range b {
		b[i] = c
	}
	return b
}

// made is a disk with the synced file d/a of four blocks.
func made(t *testing.T) (*Disk, file.File) {
	t.Helper()
	d := New()
	must(t, d.MkdirAll("d"))
	f, err := d.Create("d/a", 4*file.Block, nil)
	must(t, err)
	must(t, d.SyncDir("d"))
	return d, f
}

func content(t *testing.T, d *Disk, name string) []byte {
	t.Helper()
	b, err := d.Content(name)
	must(t, err)
	return b
}

func names(t *testing.T, d *Disk) string {
	t.Helper()
	all, err := d.List("d")
	must(t, err)
	return strings.Join(all, " ")
}

// failing makes the next operation of a kind fail.
func failing(d *Disk, k Kind, err error) {
	d.OnOp = func(op Op) error {
		if op.Kind == k {
			d.OnOp = nil
			return err
		}
		return nil
	}
}

func TestAWriteThatReturnedSurvives(t *testing.T) {
	d, f := made(t)
	must(t, f.WriteSync(filled(2, 'x'), file.Block))
	d = d.Crash(Power{})
	want := slices.Concat(filled(1, 0), filled(2, 'x'), filled(1, 0))
	if !bytes.Equal(content(t, d, "d/a"), want) {
		t.Error("it has not")
	}
}

func TestAWriteUnderWayIsCutAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		power Power
		want  func(b []byte) bool
	}{
		"nothing":    {Power{}, func(b []byte) bool { return bytes.Count(b, []byte{'y'}) == 0 }},
		"everything": {Everything(), func(b []byte) bool { return bytes.Count(b, []byte{'y'}) == 2*file.Block }},
		"a prefix":   {Prefix(false, 5000), func(b []byte) bool { return b[4999] == 'y' && b[5000] == 'x' && bytes.Count(b, []byte{'y'}) == 5000 }},
		"sectors": {Random(rand.New(rand.NewPCG(1, 3))), func(b []byte) bool {
			n := bytes.Count(b, []byte{'y'})
			return n%Sector == 0 && n > 0 && n < 2*file.Block && bytes.Count(b, []byte("xy")) > 0
		}},
	} {
		d, f := made(t)
		must(t, f.WriteSync(filled(2, 'x'), 0))
		failing(d, Write, ErrCrash)
		if err := f.WriteSync(filled(2, 'y'), 0); !errors.Is(err, ErrCrash) {
			t.Fatal(err)
		}
		if !c.want(content(t, d.Crash(c.power), "d/a")) {
			t.Errorf("%s: something else", name)
		}
	}
}

func TestAFailedWriteMayHaveHappenedInPart(t *testing.T) {
	d, f := made(t)
	failing(d, Write, syscall.EIO)
	err := f.WriteSync(filled(1, 'x'), 0)
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "write 4096 bytes at 0 of d/a") {
		t.Error(err)
	}
	if content(t, d, "d/a")[0] != 0 {
		t.Error("it is seen before the crash")
	}
	if d = d.Crash(Prefix(false, 7)); bytes.Count(content(t, d, "d/a"), []byte{'x'}) != 7 {
		t.Error("it is not seen after the crash")
	}
}

func TestAChangeOfADirectorySurvivesOnceSynced(t *testing.T) {
	change := func(d *Disk) {
		_, err := d.Create("d/b", file.Block, nil)
		must(t, err)
		must(t, d.Rename("d/a", "d/c"))
		must(t, d.Rename("d/b", "d/a"))
		must(t, d.Remove("d/c"))
	}
	kept := func(kinds ...string) Power {
		return Power{Kept: func(op Op) bool { return slices.Contains(kinds, op.String()) }}
	}
	for name, c := range map[string]struct {
		power Power
		want  string
	}{
		"nothing":           {Power{}, "a"},
		"all of it":         {Everything(), "a"},
		"the first rename":  {kept("rename d/a to d/c"), "c"},
		"the second rename": {kept("rename d/b to d/a"), "a"},
		"the creation":      {kept("create d/b of 4096 bytes"), "a b"},
		"both renames":      {kept("rename d/a to d/c", "rename d/b to d/a"), "a c"},
	} {
		d, _ := made(t)
		change(d)
		if got := names(t, d.Crash(c.power)); got != c.want {
			t.Errorf("%s has survived: %s, want %s", name, got, c.want)
		}
	}
	d, _ := made(t)
	change(d)
	must(t, d.SyncDir("d"))
	if d = d.Crash(Power{}); names(t, d) != "a" || len(content(t, d, "d/a")) != file.Block {
		t.Error("synced changes are lost")
	}
}

func TestAnOperationUnderWayMayHaveHappened(t *testing.T) {
	for _, kept := range []bool{false, true} {
		d, _ := made(t)
		failing(d, Rename, ErrCrash)
		if err := d.Rename("d/a", "d/b"); !errors.Is(err, ErrCrash) {
			t.Fatal(err)
		}
		if got := names(t, d.Crash(Prefix(kept, 0))); got != map[bool]string{false: "a", true: "b"}[kept] {
			t.Errorf("kept %t: %s", kept, got)
		}
		d, _ = made(t)
		failing(d, Create, ErrCrash)
		if _, err := d.Create("d/b", 4*file.Block, nil); !errors.Is(err, ErrCrash) {
			t.Fatal(err)
		}
		d = d.Crash(Prefix(kept, 5000))
		if got := names(t, d); got != map[bool]string{false: "a", true: "a b"}[kept] {
			t.Errorf("kept %t: %s", kept, got)
		}
		if kept && len(content(t, d, "d/b")) != 5000 {
			t.Error("the new file has its whole size")
		}
	}
}

func TestAnInjectedErrorChangesNothingElse(t *testing.T) {
	d, _ := made(t)
	for kind, do := range map[Kind]func() error{
		Create:  func() error { _, err := d.Create("d/b", file.Block, nil); return err },
		Rename:  func() error { return d.Rename("d/a", "d/b") },
		Remove:  func() error { return d.Remove("d/a") },
		SyncDir: func() error { return d.SyncDir("d") },
	} {
		before := d.Copy()
		failing(d, kind, syscall.ENOSPC)
		if err := do(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("kind %d: %v", kind, err)
		}
		if !d.Same(before) || !d.Copy().Crash(Everything()).Same(before) {
			t.Errorf("kind %d has changed something", kind)
		}
	}
}

func TestWhatAKilledProcessWroteIsSeenAndNotYetDurable(t *testing.T) {
	killed := func() *Disk {
		d, f := made(t)
		failing(d, Write, ErrCrash)
		if err := f.WriteSync(filled(2, 'x'), file.Block); err == nil {
			t.Fatal("it was not killed")
		}
		d = d.Kill(Everything())
		if b := content(t, d, "d/a"); b[file.Block] != 'x' || b[3*file.Block-1] != 'x' {
			t.Error("the write is not seen")
		}
		return d
	}
	d := killed().Crash(Power{})
	if content(t, d, "d/a")[file.Block] != 0 {
		t.Error("the write is durable")
	}
	d = killed()
	f, err := d.Open("d/a")
	must(t, err)
	must(t, f.WriteSync(filled(1, 'y'), 2*file.Block))
	d = d.Crash(Power{})
	if b := content(t, d, "d/a"); b[file.Block] != 0 || b[2*file.Block] != 'y' {
		t.Error("a later write is lost, or has brought the first one with it")
	}
	d = killed()
	f, err = d.Open("d/a")
	must(t, err)
	must(t, f.WriteSync(filled(2, 'x'), file.Block))
	d = d.Crash(Power{})
	if b := content(t, d, "d/a"); b[file.Block] != 'x' || b[2*file.Block] != 'x' {
		t.Error("written again it is not durable")
	}

	d, _ = made(t)
	must(t, d.Rename("d/a", "d/b"))
	failing(d, Rename, ErrCrash)
	if err := d.Rename("d/b", "d/c"); err == nil {
		t.Fatal("it was not killed")
	}
	if d = d.Kill(Everything()); names(t, d) != "c" {
		t.Errorf("seen is %s", names(t, d))
	}
	if d = d.Crash(Power{}); names(t, d) != "a" {
		t.Errorf("durable is %s", names(t, d))
	}
}

func TestADiskWithoutPowerDoesNothing(t *testing.T) {
	d, f := made(t)
	after := d.Crash(Power{})
	_, listing := d.List("d")
	_, opening := d.Open("d/a")
	_, reading := f.ReadAt(make([]byte, 1), 0)
	_, size := f.Size()
	for what, err := range map[string]error{
		"write": f.WriteSync(filled(1, 'x'), 0), "rename": d.Rename("d/a", "d/b"), "sync": d.SyncDir("d"), "mkdir": d.MkdirAll("e"),
		"list": listing, "open": opening, "read": reading, "size": size,
	} {
		if !errors.Is(err, ErrCrash) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if content(t, after, "d/a")[0] != 0 || names(t, after) != "a" {
		t.Error("the new disk was changed through the old one")
	}
}

func TestACopyIsADiskOfItsOwn(t *testing.T) {
	d, f := made(t)
	must(t, f.WriteSync(filled(1, 'x'), 0))
	failing(d, Write, ErrCrash)
	if err := f.WriteSync(filled(1, 'y'), file.Block); err == nil {
		t.Fatal("power did not fail")
	}
	one, two := d.Copy().Crash(Power{}), d.Copy().Crash(Everything())
	if content(t, one, "d/a")[file.Block] != 0 || content(t, two, "d/a")[file.Block] != 'y' {
		t.Error("one crash is seen on the other disk")
	}
	g, err := one.Open("d/a")
	must(t, err)
	must(t, g.WriteSync(filled(1, 'z'), 0))
	if content(t, one, "d/a")[0] != 'z' || content(t, two, "d/a")[0] != 'x' || one.Same(two) {
		t.Error("a write is seen on the other disk")
	}
}

func TestHarm(t *testing.T) {
	d, f := made(t)
	d.Undo = 2
	for i := range 3 {
		must(t, f.WriteSync(filled(1, byte('x'+i)), int64(i)*file.Block))
	}
	old := d.Copy()
	must(t, d.Flip("d/a", 5, 1<<3))
	if content(t, d, "d/a")[5] != 'x'^8 || content(t, old, "d/a")[5] != 'x' {
		t.Error("the wrong bit is flipped, or on both disks")
	}
	d = d.Crash(Power{})
	if lost := d.Lose("d", 3); lost != 2 {
		t.Errorf("%d writes lost, two are kept", lost)
	}
	if b := content(t, d, "d/a"); b[0] != 'x' || b[file.Block] != 0 || b[2*file.Block] != 0 {
		t.Error("other writes than the newest two are lost")
	}
	must(t, d.Truncate("d/a", 10))
	must(t, d.Put("d/b", []byte("hello")))
	if d = d.Crash(Power{}); len(content(t, d, "d/a")) != 10 || string(content(t, d, "d/b")) != "hello" {
		t.Error("harm does not survive a crash")
	}
	if d.Flip("d/a", 10, 1) == nil || d.Flip("d/c", 0, 1) == nil || d.Truncate("d/a", 11) == nil || d.Put("e/a", nil) == nil {
		t.Error("harm to what is not there")
	}
}

func TestWhatTheLogMustNotDoIsRefused(t *testing.T) {
	d, f := made(t)
	buffer := filled(3, 'x')
	_, existing := d.Create("d/a", file.Block, nil)
	_, odd := d.Create("d/b", 100, nil)
	_, nowhere := d.Create("e/b", 0, nil)
	_, missing := d.Open("d/b")
	_, far := f.ReadAt(buffer, 2*file.Block)
	for want, err := range map[string]error{
		fs.ErrExist.Error():    existing,
		"no multiple of 4096":  odd,
		fs.ErrNotExist.Error(): errors.Join(nowhere, missing, d.Rename("d/b", "d/c"), d.Remove("d/b"), d.SyncDir("e")),
		"another directory":    d.Rename("d/a", "e/a"),
		"not in blocks":        errors.Join(f.WriteSync(buffer[:100], 0), f.WriteSync(buffer[:file.Block], 512), f.WriteSync(nil, 0)),
		"file.Aligned":         f.WriteSync(buffer[8:][:file.Block], 0),
		"has 16384 bytes":      errors.Join(f.WriteSync(buffer, 2*file.Block), f.WriteSync(buffer, -file.Block)),
		io.EOF.Error():         far,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if !bytes.Equal(content(t, d, "d/a"), make([]byte, 4*file.Block)) {
		t.Error("something was written")
	}
}

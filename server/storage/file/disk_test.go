//go:build unix

package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDirectoriesAreMadeDownToTheLast(t *testing.T) {
	d, top := OS(), t.TempDir()
	dir := filepath.Join(top, "a", "b", "c")
	for range 2 {
		if err := d.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "a/b", "a/b/c"} {
		info, err := os.Stat(filepath.Join(top, name))
		if err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, error %v", name, info.Mode(), err)
		}
	}
	f := create(t, d, filepath.Join(top, "f"), 0)
	closed(t, f)
	for _, name := range []string{"f", "f/below"} {
		if err := d.MkdirAll(filepath.Join(top, name)); err == nil {
			t.Errorf("%s: a directory over or below a file", name)
		}
	}
	t.Chdir(top)
	if err := d.MkdirAll("relative/path"); err != nil {
		t.Error(err)
	}
}

func TestFilesAreListedRenamedAndRemoved(t *testing.T) {
	d, dir := OS(), t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for i, name := range []string{"c", "a", "b"} {
		f := create(t, d, path(name), 1)
		if err := f.WriteSync(pattern(i+1, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.MkdirAll(path("below")); err != nil {
		t.Fatal(err)
	}
	if err := d.Rename(path("c"), path("b")); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(path("a")); err != nil {
		t.Fatal(err)
	}
	if err := d.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
	if names, err := d.List(dir); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Errorf("files %q, error %v", names, err)
	}
	f, err := d.Open(path("b"))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, f)
	mustRead(t, f, 0, pattern(1, 1))
	_, list := d.List(path("missing"))
	_, open := d.Open(path("missing"))
	for what, err := range map[string]error{
		"list": list, "open": open, "sync": d.SyncDir(path("missing")),
		"rename": d.Rename(path("missing"), path("x")), "remove": d.Remove(path("missing")),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is missing: %v", what, err)
		}
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	w := create(t, OS(), name, 1)
	if err := w.WriteSync(pattern(3, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o400); err != nil {
		t.Fatal(err)
	}
	d := ReadOnly()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, f)
	_, create := d.Create(filepath.Join(dir, "g"), Block, nil)
	_, method := d.SyncMethod(dir)
	for what, err := range map[string]error{
		"create": create, "write": f.WriteSync(pattern(4, 1), 0), "rename": d.Rename(name, name+"2"),
		"remove": d.Remove(name), "make": d.MkdirAll(filepath.Join(dir, "d")), "sync": d.SyncDir(dir), "method": method,
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mustRead(t, f, 0, pattern(3, 1))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, error %v", entries, err)
	}
}

func TestAFileIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	for _, text := range []string{"first", "second, and longer", "", "third"} {
		if err := os.WriteFile(name+".tmp", []byte("left behind by a crash, longer than the rest"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := WriteFileAtomic(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("%q, error %v, want %q", got, err, text)
		}
	}
	if names, err := OS().List(dir); err != nil || !slices.Equal(names, []string{"f"}) {
		t.Errorf("files %q, error %v", names, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFileAtomic(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	if names, err := OS().List(dir); err != nil || !slices.Equal(names, []string{"f"}) {
		t.Errorf("after a failure: files %q, error %v", names, err)
	}
	if err := WriteFileAtomic(filepath.Join(dir, "missing", "f"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/pbft-go/pbft/server/storage/file"
)

// Disk is a file.FS in memory.
type Disk struct {
	// OnOp, unless nil, is asked before each operation takes effect. An error
	// that is ErrCrash loses power; any other one, say syscall.ENOSPC, is the
	// operation's: a write may then have happened in part, anything else has not.
	// It may use the disk. Set it while nothing else does.
	OnOp func(Op) error
	// Undo is how many of the newest writes Lose can take back. It costs a copy of
	// what each of them overwrites.
	Undo int

	mu      sync.Mutex
	dead    bool // and so ask says for good
	dirs    map[string]*dir
	pending []written // writes without an end, oldest first
	undo    []written // oldest first
}

// dir is one directory: names as they are, and as they would survive.
type dir struct {
	now, durable map[string]*node
	changes      []change // from durable to now
}

// change takes old out, then gives node the name new; either may be empty.
type change struct {
	op       Op
	old, new string
	node     *node
	undone   bool // it was under way: now does not have it
}

func (c *change) apply(names map[string]*node) {
	if c.old != "" {
		delete(names, c.old)
	}
	if c.new != "" {
		names[c.new] = c.node
	}
}

// node is the content of a file, all of it durable.
type node struct {
	data   []byte
	shared bool // another disk has the same slice: copy it before a write
}

func (n *node) own() []byte {
	if n.shared {
		n.data, n.shared = slices.Clone(n.data), false
	}
	return n.data
}

// written is a write: what it brought, or in Disk.undo what it overwrote.
type written struct {
	op    Op
	node  *node
	data  []byte
	below []byte // unless nil, data is seen already, and this is what is durable
}

// New is an empty disk.
func New() *Disk { return &Disk{dirs: map[string]*dir{}} }

// ask gives OnOp its say. d is not locked.
func (d *Disk) ask(op Op) error {
	d.mu.Lock()
	hook, dead := d.OnOp, d.dead
	d.mu.Unlock()
	if dead {
		return ErrCrash
	}
	if hook == nil {
		return nil
	}
	return hook(op)
}

// refused makes the error of an operation that does not happen, or not now.
func (d *Disk) refused(op Op, err error) error {
	if errors.Is(err, ErrCrash) {
		d.dead = true
	}
	return fmt.Errorf("%s: %w", op, err)
}

// MkdirAll makes dir and those above it. They survive, as if synced.
func (d *Disk) MkdirAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return fmt.Errorf("make %s: %w", name, ErrCrash)
	}
	for name = filepath.Clean(name); d.dirs[name] == nil; name = filepath.Dir(name) {
		d.dirs[name] = &dir{now: map[string]*node{}, durable: map[string]*node{}}
	}
	return nil
}

// List gives the names of the files in a directory, sorted.
func (d *Disk) List(name string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.dirs[filepath.Clean(name)]
	switch {
	case d.dead:
		return nil, fmt.Errorf("list %s: %w", name, ErrCrash)
	case in == nil:
		return nil, fmt.Errorf("list %s: %w", name, fs.ErrNotExist)
	}
	return slices.Sorted(maps.Keys(in.now)), nil
}

// Create makes a file of zeros.
func (d *Disk) Create(name string, size int64, _ func(int64)) (file.File, error) {
	op := Op{Kind: Create, Name: filepath.Clean(name), Size: size}
	asked := d.ask(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.at(op.Name)
	switch {
	case d.dead || asked != nil && !errors.Is(asked, ErrCrash):
		return nil, d.refused(op, asked)
	case size < 0 || size%file.Block != 0:
		return nil, fmt.Errorf("%s: the size is no multiple of %d", op, file.Block)
	case in == nil:
		return nil, d.refused(op, fs.ErrNotExist)
	case in.now[base] != nil:
		return nil, d.refused(op, fs.ErrExist)
	}
	n := &node{data: make([]byte, size)}
	in.changes = append(in.changes, change{op: op, new: base, node: n, undone: asked != nil})
	if asked != nil {
		d.pending = append(d.pending, written{op: op, node: n})
		return nil, d.refused(op, asked)
	}
	in.now[base] = n
	return &handle{d, n, op.Name}, nil
}

// Open opens a file to read and to write.
func (d *Disk) Open(name string) (file.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &handle{d, n, filepath.Clean(name)}, nil
}

// Rename gives a file another name in the same directory.
func (d *Disk) Rename(old, new string) error {
	return d.change(Op{Kind: Rename, Name: filepath.Clean(old), To: filepath.Clean(new)})
}

// Remove removes a file.
func (d *Disk) Remove(name string) error {
	return d.change(Op{Kind: Remove, Name: filepath.Clean(name)})
}

func (d *Disk) change(op Op) error {
	asked := d.ask(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.at(op.Name)
	switch {
	case d.dead || asked != nil && !errors.Is(asked, ErrCrash):
		return d.refused(op, asked)
	case in == nil || in.now[base] == nil:
		return d.refused(op, fs.ErrNotExist)
	case op.To != "" && filepath.Dir(op.To) != filepath.Dir(op.Name):
		return fmt.Errorf("%s: to another directory is not simulated", op)
	}
	c := change{op: op, old: base, undone: asked != nil}
	if op.To != "" {
		c.new, c.node = filepath.Base(op.To), in.now[base]
	}
	in.changes = append(in.changes, c)
	if asked != nil {
		return d.refused(op, asked)
	}
	c.apply(in.now)
	return nil
}

// SyncDir makes all changes of a directory durable.
func (d *Disk) SyncDir(name string) error {
	op := Op{Kind: SyncDir, Name: filepath.Clean(name)}
	asked := d.ask(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.dirs[op.Name]
	switch {
	case asked != nil:
		return d.refused(op, asked)
	case in == nil:
		return d.refused(op, fs.ErrNotExist)
	}
	for i := range in.changes {
		in.changes[i].apply(in.durable)
	}
	in.changes = in.changes[:0]
	return nil
}

// at is the directory of a clean path, nil if there is none, and the name in it.
func (d *Disk) at(name string) (*dir, string) {
	return d.dirs[filepath.Dir(name)], filepath.Base(name)
}

func (d *Disk) find(name string) (*node, error) {
	if d.dead {
		return nil, ErrCrash
	}
	in, base := d.at(filepath.Clean(name))
	if in == nil || in.now[base] == nil {
		return nil, fs.ErrNotExist
	}
	return in.now[base], nil
}

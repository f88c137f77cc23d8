package crashfs

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// Copy is a second disk with the same content, and with the same things
// undecided: an old backup, or a start for several crashes. It costs little
// until one of the two is written. Files that are open stay with d. The copy is
// alive even if d has lost power, so that it can be crashed; it has no OnOp.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &Disk{dirs: map[string]*dir{}, Undo: d.Undo}
	nodes := map[*node]*node{nil: nil}
	copied := func(n *node) *node {
		if _, known := nodes[n]; !known {
			n.shared = true
			nodes[n] = &node{data: n.data, shared: true}
		}
		return nodes[n]
	}
	for _, name := range sortedKeys(d.dirs) {
		from, to := d.dirs[name], &dir{now: map[string]*node{}, durable: map[string]*node{}}
		for base, n := range from.now {
			to.now[base] = copied(n)
		}
		for base, n := range from.durable {
			to.durable[base] = copied(n)
		}
		for _, ch := range from.changes {
			ch.node = copied(ch.node)
			to.changes = append(to.changes, ch)
		}
		c.dirs[name] = to
	}
	for _, w := range d.pending {
		w.node = copied(w.node)
		w.data, w.below = slices.Clone(w.data), slices.Clone(w.below)
		c.pending = append(c.pending, w)
	}
	for _, w := range d.undo {
		w.node = copied(w.node)
		c.undo = append(c.undo, w)
	}
	return c
}

// Flip turns over bits of one byte of a file, those set in mask.
func (d *Disk) Flip(name string, off int64, mask byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return fmt.Errorf("flip a bit of %s: %w", name, err)
	}
	if off < 0 || off >= int64(len(n.data)) {
		return fmt.Errorf("flip a bit at %d of %s: it has %d bytes", off, name, len(n.data))
	}
	n.own()[off] ^= mask
	return nil
}

// Truncate cuts a file to size bytes.
func (d *Disk) Truncate(name string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return fmt.Errorf("cut %s: %w", name, err)
	}
	if size < 0 || size > int64(len(n.data)) {
		return fmt.Errorf("cut %s to %d bytes: it has %d", name, size, len(n.data))
	}
	n.data = n.own()[:size:size]
	return nil
}

// Put makes content what a file holds, and makes the file if there is none. It
// survives.
func (d *Disk) Put(name string, content []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	in, base := d.at(filepath.Clean(name))
	if in == nil {
		return fmt.Errorf("put %s: there is no such directory", name)
	}
	n := &node{data: slices.Clone(content)}
	in.now[base], in.durable[base] = n, n
	return nil
}

// Content is a copy of what a file holds.
func (d *Disk) Content(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return slices.Clone(n.data), nil
}

// Lose takes back the newest writes into the files of a directory, n of them or
// as many as Undo has kept, as a device does that says it has synced what it has
// not. It gives the number of writes lost.
func (d *Disk) Lose(name string, n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	lost := 0
	for i := len(d.undo) - 1; i >= 0 && lost < n; i-- {
		w := d.undo[i]
		if filepath.Dir(w.op.Name) != name {
			continue
		}
		copy(w.node.own()[w.op.Off:], w.data)
		d.undo = slices.Delete(d.undo, i, i+1)
		lost++
	}
	return lost
}

// Same tells whether two disks hold the same files with the same content.
func (d *Disk) Same(o *Disk) bool {
	a, b := d.flat(), o.flat()
	return maps.EqualFunc(a, b, bytes.Equal)
}

// flat is the content of all files by path. It must not be changed.
func (d *Disk) flat() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string][]byte{}
	for name, in := range d.dirs {
		for base, n := range in.now {
			n.shared = true
			all[filepath.Join(name, base)] = n.data
		}
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

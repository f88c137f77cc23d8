package crashfs

import (
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/pbft-go/pbft/server/storage/file"
)

// handle is an open file. It outlives a rename or a removal of its name, and
// keeps to the name that it was opened by.
type handle struct {
	d    *Disk
	n    *node
	name string
}

func (h *handle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.dead {
		return 0, fmt.Errorf("size of %s: %w", h.name, ErrCrash)
	}
	return int64(len(h.n.data)), nil
}

func (h *handle) ReadAt(b []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	switch {
	case h.d.dead:
		return 0, fmt.Errorf("read %s: %w", h.name, ErrCrash)
	case off < 0:
		return 0, fmt.Errorf("read at %d of %s", off, h.name)
	case off >= int64(len(h.n.data)):
		return 0, io.EOF
	}
	n := copy(b, h.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteSync(b []byte, off int64) error {
	op := Op{Kind: Write, Name: h.name, Off: off, Size: int64(len(b))}
	if len(b) == 0 || len(b)%file.Block != 0 || off%file.Block != 0 {
		return fmt.Errorf("%s: not in blocks of %d", op, file.Block)
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(b)))%file.Block != 0 {
		return fmt.Errorf("%s: the buffer does not come from file.Aligned", op)
	}
	asked := h.d.ask(op)
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off < 0 || off+op.Size > int64(len(h.n.data)) {
		return fmt.Errorf("%s: the file has %d bytes", op, len(h.n.data))
	}
	if asked != nil {
		if !h.d.dead {
			h.d.pending = append(h.d.pending, written{op: op, node: h.n, data: slices.Clone(b)})
		}
		return h.d.refused(op, asked)
	}
	h.d.write(op, h.n, b)
	return nil
}

// write makes b durable. What was undecided there is decided.
func (d *Disk) write(op Op, n *node, b []byte) {
	at := n.own()[op.Off:][:len(b)]
	if len(d.pending) > 0 {
		d.pending = slices.DeleteFunc(d.pending, func(w written) bool { return w.node == n && w.decide(op.Off, b) })
	}
	if d.Undo > 0 {
		if len(d.undo) >= d.Undo {
			d.undo = slices.Delete(d.undo, 0, len(d.undo)-d.Undo+1)
		}
		d.undo = append(d.undo, written{op: op, node: n, data: slices.Clone(at)})
	}
	copy(at, b)
}

// decide takes in that b was made durable at off, and reports whether nothing of
// w is undecided any more.
func (w *written) decide(off int64, b []byte) bool {
	from, to := max(off, w.op.Off), min(off+int64(len(b)), w.op.Off+int64(len(w.data)))
	if w.op.Kind != Write || from >= to {
		return false
	}
	for _, side := range [][]byte{w.data, w.below} {
		if side != nil {
			copy(side[from-w.op.Off:to-w.op.Off], b[from-off:])
		}
	}
	return from == w.op.Off && to == w.op.Off+int64(len(w.data))
}

func (h *handle) Close() error { return nil }

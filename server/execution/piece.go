package execution

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
)

// State travels in pieces: buckets of the application's state, clients, and the
// history tree's frontier. Each has a leaf digest under the certified roots, so
// that each is verified before it is kept.

// appendBucketPiece appends a bucket as it travels: its entries with their
// values whole.
func appendBucketPiece(b []byte, m image, v *values) []byte {
	large := 0
	for data := m.data; len(data) > 0; {
		size, isLarge := entrySize(data)
		key := entryKey(data)
		b = crypto.AppendBytes(b, key)
		if isLarge {
			b = crypto.AppendBytes(b, v.get(m.large[large]))
			large++
		} else {
			b = append(b, data[4+len(key):size]...)
		}
		data = data[size:]
	}
	return b
}

// parseBucketPiece makes the entries of a bucket from a piece, which it checks
// against the leaf. The long values alias the piece.
func parseBucketPiece(h *hasher, i int, leaf crypto.Digest, piece []byte) (data []byte, large [][]byte, err error) {
	r := crypto.NewReader(piece)
	for r.Len() > 0 && r.Err() == nil {
		key, value := r.Bytes(), r.Bytes()
		data = crypto.AppendBytes(data, key)
		if len(value) > maxInline {
			d := h.c.ValueDigest(value)
			data = append(crypto.AppendU32(data, uint32(len(value))), d[:]...)
			large = append(large, value)
		} else {
			data = crypto.AppendBytes(data, value)
		}
	}
	if err := r.Done(); err != nil {
		return nil, nil, fmt.Errorf("bucket %d: %w", i, err)
	}
	if got := h.digest(i, data); got != leaf {
		return nil, nil, fmt.Errorf("bucket %d hashes to %s, the certified state has %s", i, got, leaf)
	}
	return data, large, nil
}

// appendClientPiece appends a client as it travels.
func appendClientPiece(b []byte, m *clientImage) []byte {
	b = crypto.AppendString(b, m.name)
	b = crypto.AppendU64(b, m.low)
	b = crypto.AppendU64(b, m.lastN)
	for i := range uint64(len(m.pages)) {
		index := m.low/pageSize + i
		if p := m.pages[index%uint64(len(m.pages))]; p != nil && p.index == index && p.set != 0 {
			b = crypto.AppendBytes(b, p.append(nil))
		}
	}
	return b
}

var errClientPiece = errors.New("client: what the piece says of its numbers cannot be")

// parseClientPiece makes a client from a piece, which it checks against the
// leaf.
func (t *clientTable) parseClientPiece(leaf crypto.Digest, piece []byte) (*client, error) {
	r := crypto.NewReader(piece)
	name := r.Bytes()
	c := newClient(string(name), uint64(t.cfg.ClientWindow))
	c.low, c.lastN = r.U64(), r.U64()
	c.age = c.lastN
	if r.Err() != nil || c.low > crypto.MaxNumber {
		return nil, errClientPiece
	}
	for r.Len() > 0 && r.Err() == nil {
		if err := c.addPage(r.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if got := t.leaf(c); got != leaf {
		return nil, fmt.Errorf("client %q hashes to %s, the certified state has %s", c.name, got, leaf)
	}
	c.leaf, c.clean = leaf, true
	return c, nil
}

// addPage takes one page of a piece over.
func (c *client) addPage(b []byte) error {
	r := crypto.NewReader(b)
	index := r.U64()
	first := c.low / pageSize
	if r.Err() != nil || index < first || index >= first+uint64(len(c.pages)) {
		return errClientPiece
	}
	p := c.page(index * pageSize)
	for r.Len() > 0 && r.Err() == nil {
		x := r.U64()
		if x < c.low || x >= c.low+c.w || x/pageSize != index {
			return errClientPiece
		}
		e := reply{n: r.U64(), session: r.U64(), status: crypto.Status(r.U8())}
		kind := r.U8()
		if kind > 1 {
			return errClientPiece
		}
		tombstone := kind == 1
		var value []byte
		if tombstone {
			d, size := r.Digest(), r.U64()
			value = crypto.AppendU64(bytes.Clone(d[:]), size)
		} else {
			value = r.Bytes()
		}
		p.mark(x%pageSize, e)
		p.put(x%pageSize, tombstone, value)
		if !tombstone {
			c.bytes += len(value)
		}
		c.high = max(c.high, x+1)
	}
	return r.Done()
}

// appendFrontier appends the frontier of the history tree as it travels.
func appendFrontier(b []byte, f *crypto.Frontier) []byte {
	b = crypto.AppendU64(b, f.Size)
	for i := range f.Peaks {
		b = append(b, f.Peaks[i][:]...)
	}
	return b
}

// parseFrontier checks a frontier against the certified root and size.
func parseFrontier(c crypto.ClusterID, root crypto.Digest, size uint64, piece []byte) (f crypto.Frontier, err error) {
	r := crypto.NewReader(piece)
	f.Size = r.U64()
	for r.Len() > 0 && r.Err() == nil && len(f.Peaks) < 64 {
		f.Peaks = append(f.Peaks, r.Digest())
	}
	if err := r.Done(); err != nil {
		return f, fmt.Errorf("history: %w", err)
	}
	if f.Size != size || !f.Valid() || f.Root(c) != root {
		return f, fmt.Errorf("history of %d leaves, %d peaks: it is not the certified one", f.Size, len(f.Peaks))
	}
	return f, nil
}

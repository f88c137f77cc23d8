package execution

import (
	"bytes"
	"slices"

	"github.com/pbft-go/pbft/crypto"
)

// saveBucket writes a bucket as it was. Its long values stand apart, so that
// those of them that the disk has already are not written again.
func (s *saver) saveBucket(w *save, i int) (units int, err error) {
	m := w.from.snapshot.read(i, &s.bucket)
	s.key = bucketKey(s.key, i)
	units = 1 + len(m.data)/unitBytes
	has := s.large.has(i)
	s.large.set(i, len(m.large) > 0)
	if has || len(m.large) > 0 {
		more, err := s.saveValues(w, i, &m, has)
		if err != nil {
			return 0, err
		}
		units += more
		s.key = bucketKey(s.key, i)
	}
	if len(m.data) == 0 {
		return units, w.out.Delete(s.key)
	}
	return units, w.out.Put(s.key, m.data)
}

// getUnits is what a question to the disk counts.
const getUnits = 4

// saveValues makes a bucket's long values on disk those of m. Values that are
// equal are one there. has tells whether the disk has any.
func (s *saver) saveValues(w *save, i int, m *image, has bool) (units int, err error) {
	values := longValues(m, s.values[:0])
	s.values = values
	var old []crypto.Digest
	if has {
		units += getUnits
		if old, err = s.valuesOnDisk(i); err != nil {
			return 0, err
		}
	}
	for len(values) > 0 || len(old) > 0 {
		order := -1
		switch {
		case len(values) == 0:
			order = 1
		case len(old) > 0:
			order = bytes.Compare(values[0].digest[:], old[0][:])
		}
		switch {
		case order == 0:
			values, old = values[1:], old[1:]
		case order > 0:
			s.key = valueKey(s.key, i, old[0][:])
			err = w.out.Delete(s.key)
			old = old[1:]
			units++
		default:
			s.key = valueKey(s.key, i, values[0].digest[:])
			v := s.e.store.values.get(values[0].ref)
			err = w.out.Put(s.key, v)
			values = values[1:]
			units += 1 + len(v)/unitBytes
		}
		if err != nil {
			return 0, err
		}
	}
	return units, nil
}

// longValue is a long value of a bucket: its digest, and where it is.
type longValue struct {
	digest crypto.Digest
	ref    ref
}

// longValues lists the long values of a bucket by digest, equal ones once.
func longValues(m *image, list []longValue) []longValue {
	large := 0
	for data := m.data; len(data) > 0; {
		size, isLarge := entrySize(data)
		if isLarge {
			list = append(list, longValue{crypto.Digest(data[size-len(noDigest) : size]), m.large[large]})
			large++
		}
		data = data[size:]
	}
	slices.SortFunc(list, func(a, b longValue) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	return slices.CompactFunc(list, func(a, b longValue) bool { return a.digest == b.digest })
}

// valuesOnDisk lists the digests of the long values that the disk has of a
// bucket.
func (s *saver) valuesOnDisk(i int) ([]crypto.Digest, error) {
	data, ok, err := s.db.Get(bucketKey(nil, i))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, damaged("application: bucket %d is missing", i)
	}
	var list []crypto.Digest
	if err := eachEntry(data, func(e []byte, isLarge bool) {
		if isLarge {
			list = append(list, crypto.Digest(e[len(e)-len(noDigest):]))
		}
	}); err != nil {
		return nil, damaged("application: bucket %d: %w", i, err)
	}
	slices.SortFunc(list, func(a, b crypto.Digest) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(list), nil
}

// eachEntry calls f for the entries of a bucket that nobody has verified.
func eachEntry(data []byte, f func(e []byte, isLarge bool)) error {
	for len(data) > 0 {
		r := crypto.NewReader(data)
		r.Bytes()
		size := int(r.U32())
		isLarge := size > maxInline
		if isLarge {
			size = len(noDigest)
		}
		end := len(data) - r.Len() + size
		if r.Err() != nil || end > len(data) {
			return errEntries
		}
		f(data[:end], isLarge)
		data = data[end:]
	}
	return nil
}

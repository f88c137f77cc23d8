package execution

// values holds the long values, in slabs of places of one size. To the garbage
// collector a million values are then a few thousand objects without pointers,
// and memory that is not needed any more is used again while it is warm.
type values struct {
	slabs []slab
	gone  []uint32                  // slabs whose numbers are free
	open  [slotClasses + 1][]uint32 // slabs with free places, by size of place
}

const (
	slotStep    = 512       // places have a multiple of it
	slotClasses = 128       // up to 64 KiB; longer values have a slab of their own
	slabSize    = 256 << 10 // bytes of the others
)

// slab is memory for values of about one size.
type slab struct {
	data  []byte
	slot  int      // bytes of a place
	class int      // index in values.open; 0: one place only
	free  []uint16 // places
	live  int      // values in it
	at    int      // in values.open, -1: no free place
}

// ref is a long value's place.
type ref struct {
	slab uint32
	slot uint16
	size uint32
}

// add stores a copy of value.
func (v *values) add(value []byte) ref {
	class := (len(value) + slotStep - 1) / slotStep
	if class > slotClasses {
		i := v.slab(slab{data: append([]byte(nil), value...), slot: len(value), live: 1, at: -1})
		return ref{slab: i, size: uint32(len(value))}
	}
	if len(v.open[class]) == 0 {
		v.openSlab(class)
	}
	i := v.open[class][len(v.open[class])-1]
	s := &v.slabs[i]
	r := ref{slab: i, slot: s.free[len(s.free)-1], size: uint32(len(value))}
	s.free = s.free[:len(s.free)-1]
	s.live++
	if len(s.free) == 0 {
		v.close(i)
	}
	copy(s.data[int(r.slot)*s.slot:], value)
	return r
}

// slab gives a slab a number.
func (v *values) slab(s slab) uint32 {
	if last := len(v.gone) - 1; last >= 0 {
		i := v.gone[last]
		v.gone = v.gone[:last]
		v.slabs[i] = s
		return i
	}
	v.slabs = append(v.slabs, s)
	return uint32(len(v.slabs) - 1)
}

func (v *values) openSlab(class int) {
	s := slab{data: make([]byte, slabSize), slot: class * slotStep, class: class, at: len(v.open[class])}
	for i := slabSize/s.slot - 1; i >= 0; i-- {
		s.free = append(s.free, uint16(i))
	}
	v.open[class] = append(v.open[class], v.slab(s))
}

// close takes a slab off the list of those with free places.
func (v *values) close(i uint32) {
	s := &v.slabs[i]
	list := v.open[s.class]
	last := len(list) - 1
	list[s.at] = list[last]
	v.slabs[list[s.at]].at = s.at
	v.open[s.class], s.at = list[:last], -1
}

// get is a stored value. Nobody writes to it.
func (v *values) get(r ref) []byte {
	s := &v.slabs[r.slab]
	at := int(r.slot) * s.slot
	return s.data[at : at+int(r.size) : at+int(r.size)]
}

// drop forgets a value. A slab that has none any more is given back, unless
// it is the only one with free places of its size.
func (v *values) drop(r ref) {
	s := &v.slabs[r.slab]
	s.live--
	if s.class > 0 {
		s.free = append(s.free, r.slot)
		if s.at < 0 {
			s.at = len(v.open[s.class])
			v.open[s.class] = append(v.open[s.class], r.slab)
		}
		if s.live > 0 || len(v.open[s.class]) == 1 {
			return
		}
		v.close(r.slab)
	}
	*s = slab{}
	v.gone = append(v.gone, r.slab)
}

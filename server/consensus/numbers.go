package consensus

// numbers finds what waits under a request number. A client's numbers are
// nearly consecutive, so a number's place is its remainder; the table grows
// until all have different ones, and what still collides (the numbers of a
// client that leaps) stands in a map.
type numbers struct {
	slots []numbered // a power of two, or none
	rest  map[uint64]*group
	count int
}

type numbered struct {
	number uint64
	group  *group // nil: free
}

const (
	minSlots = 16
	maxSlots = 4096
	// maxSpareSlots is how many tables of clients that wait for nothing are
	// kept for others.
	maxSpareSlots = 64
)

func (t *numbers) at(x uint64) *numbered { return &t.slots[x&uint64(len(t.slots)-1)] }

// get is what waits under x, or nil.
func (t *numbers) get(x uint64) *group {
	if len(t.slots) == 0 {
		return nil
	}
	if s := t.at(x); s.group != nil && s.number == x {
		return s.group
	}
	return t.rest[x]
}

// put enters x, which must not be there.
func (t *numbers) put(x uint64, g *group, spare *[][]numbered) {
	t.count++
	if len(t.slots) == 0 {
		t.take(spare)
	}
	for t.at(x).group != nil {
		if len(t.slots) == maxSlots {
			if t.rest == nil {
				t.rest = make(map[uint64]*group)
			}
			t.rest[x] = g
			return
		}
		t.grow()
	}
	*t.at(x) = numbered{x, g}
}

// take begins with a table that another client left, or a small one.
func (t *numbers) take(spare *[][]numbered) {
	last := len(*spare) - 1
	if last < 0 {
		t.slots = make([]numbered, minSlots)
		return
	}
	t.slots = (*spare)[last]
	*spare = (*spare)[:last]
}

// grow doubles the table. Numbers with different remainders keep them apart.
func (t *numbers) grow() {
	old := t.slots
	t.slots = make([]numbered, 2*len(old))
	for _, s := range old {
		if s.group != nil {
			*t.at(s.number) = s
		}
	}
}

// remove takes x out, if it is there. An empty table is left to others.
func (t *numbers) remove(x uint64, spare *[][]numbered) {
	if s := t.at(x); s.group != nil && s.number == x {
		*s = numbered{}
	} else if _, ok := t.rest[x]; ok {
		delete(t.rest, x)
	} else {
		return
	}
	if t.count--; t.count == 0 {
		if len(*spare) < maxSpareSlots {
			*spare = append(*spare, t.slots)
		}
		*t = numbers{}
	}
}

// each calls f for every number, in no order that means anything; f may remove
// it.
func (t *numbers) each(f func(x uint64)) {
	slots := t.slots
	for i := range slots {
		if slots[i].group != nil {
			f(slots[i].number)
		}
	}
	for x := range t.rest { //maporder: callers do the same for each number, whatever came before
		f(x)
	}
}

package execution

// spare is memory of long values that nobody needs any more. Left to the
// garbage collector it would come back late and cold, and the process would
// grow by as much again.
type spare [maxSpare/spareStep + 1][][]byte

const (
	spareStep = 512
	maxSpare  = 64 << 10 // longer values are left to the garbage collector
)

// copy is a copy of value.
func (s *spare) copy(value []byte) []byte {
	if len(value) > maxSpare {
		return append([]byte(nil), value...)
	}
	class := (len(value) + spareStep - 1) / spareStep
	free := &s[class]
	last := len(*free) - 1
	if last < 0 {
		return append(make([]byte, 0, class*spareStep), value...)
	}
	b := (*free)[last]
	(*free)[last] = nil
	*free = (*free)[:last]
	return append(b[:0], value...)
}

// add takes the memory of a value that copy made, or nil.
func (s *spare) add(value []byte) {
	if n := cap(value); n > 0 && n <= maxSpare && n%spareStep == 0 {
		s[n/spareStep] = append(s[n/spareStep], value)
	}
}

// clear leaves what there is to the garbage collector.
func (s *spare) clear() {
	for i := range s {
		clear(s[i])
		s[i] = s[i][:0]
	}
}

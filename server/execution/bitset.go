package execution

import "math/bits"

// bitset is a set of small integers.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }

func (s bitset) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s bitset) remove(i int)   { s[i/64] &^= 1 << (i % 64) }
func (s bitset) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// join adds to s what is in o, if s is there.
func (s bitset) join(o bitset) {
	for i := range s {
		s[i] |= o[i]
	}
}

// set adds or removes i.
func (s bitset) set(i int, in bool) {
	if in {
		s.add(i)
	} else {
		s.remove(i)
	}
}

// next is the smallest integer of s from the given one on.
func (s bitset) next(from int) (i int, ok bool) {
	for w := from / 64; w < len(s); w++ {
		word := s[w]
		if w == from/64 {
			word &= ^uint64(0) << (from % 64)
		}
		if word != 0 {
			return w*64 + bits.TrailingZeros64(word), true
		}
	}
	return 0, false
}

// count is how many integers s holds.
func (s bitset) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// pop appends the smallest integers of s from the given one on, at most most,
// and takes them out.
func (s bitset) pop(from, most int, out []int) []int {
	for w := from / 64; w < len(s) && most > 0; w++ {
		for word := s[w]; word != 0 && most > 0; word &= word - 1 {
			out = append(out, w*64+bits.TrailingZeros64(word))
			s[w] = word & (word - 1)
			most--
		}
	}
	return out
}

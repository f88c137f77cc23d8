package execution

import "math/bits"

// bitset is a set of small integers.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }

func (s bitset) add(i int) { s[i/64] |= 1 << (i % 64) }

// drain empties s and calls f for each that it held, in rising order.
func (s bitset) drain(f func(i int)) {
	for w := range s {
		word := s[w]
		s[w] = 0
		for ; word != 0; word &= word - 1 {
			f(w*64 + bits.TrailingZeros64(word))
		}
	}
}

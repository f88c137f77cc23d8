package sha256pair

import "crypto/sha256"

const blockSize = sha256.BlockSize

// Sum returns SHA-256(prefix || a) and SHA-256(prefix || b). Any length will
// do, but with a prefix of more than 64 bytes nothing is gained. Sum neither
// allocates nor keeps anything, and may be called from many goroutines.
func Sum(prefix, a, b []byte) (da, db [sha256.Size]byte) { return sum(prefix, a, b) }

// sumEach is Sum with crypto/sha256, one message after the other.
func sumEach(prefix, a, b []byte) (da, db [sha256.Size]byte) {
	return sumOne(prefix, a), sumOne(prefix, b)
}

func sumOne(prefix, m []byte) (d [sha256.Size]byte) {
	h := sha256.New()
	h.Write(prefix)
	h.Write(m)
	h.Sum(d[:0])
	return d
}

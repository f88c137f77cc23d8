//go:build !purego

package sha256pair

import "crypto/sha256"

func sum(prefix, a, b []byte) (da, db [sha256.Size]byte) {
	if !hasSHA || len(prefix) > blockSize {
		return sumEach(prefix, a, b)
	}
	var la, lb lane
	la.init(prefix, a)
	lb.init(prefix, b)
	for {
		pa, na := la.next(a)
		pb, nb := lb.next(b)
		n := min(na, nb)
		if n == 0 {
			break
		}
		blocks2(&la.state, &lb.state, pa, pb, uint64(n))
		la.done += n
		lb.done += n
	}
	la.finish(a)
	lb.finish(b)
	return la.digest(), lb.digest()
}

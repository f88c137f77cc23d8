//go:build !amd64 || purego

package sha256pair

import "crypto/sha256"

func sum(prefix, a, b []byte) (da, db [sha256.Size]byte) { return sumEach(prefix, a, b) }

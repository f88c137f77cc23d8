package sha256pair

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand"
	"testing"
)

// eachWay runs the test with every implementation that this build has.
func eachWay(t *testing.T, test func(t *testing.T, sum func(prefix, a, b []byte) (da, db [32]byte))) {
	t.Run("Sum", func(t *testing.T) { test(t, Sum) })
	t.Run("crypto/sha256", func(t *testing.T) { test(t, sumEach) })
}

func random(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func reference(prefix, m []byte) [32]byte { return sha256.Sum256(append(bytes.Clone(prefix), m...)) }

func TestSumOfAbcIsThePublishedOne(t *testing.T) {
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, B.1
	const none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
	eachWay(t, func(t *testing.T, sum func(prefix, a, b []byte) (da, db [32]byte)) {
		da, db := sum([]byte("a"), []byte("bc"), []byte("bc"))
		if hex.EncodeToString(da[:]) != want || hex.EncodeToString(db[:]) != want {
			t.Errorf("abc: %x and %x, want %s", da, db, want)
		}
		da, db = sum(nil, nil, []byte("abc"))
		if hex.EncodeToString(da[:]) != none || hex.EncodeToString(db[:]) != want {
			t.Errorf("nothing and abc: %x and %x, want %s and %s", da, db, none, want)
		}
	})
}

func TestEveryLengthHashesAsItDoesAlone(t *testing.T) {
	const most = 1100
	a, b, prefixes := random(1, most), random(2, most), random(3, 200)
	others := []int{0, 1, 20, 55, 84, 256, 300, 1000}
	eachWay(t, func(t *testing.T, sum func(prefix, a, b []byte) (da, db [32]byte)) {
		for _, p := range []int{0, 44, 46, 55, 56, 63, 64, 65, 200} {
			prefix := prefixes[:p]
			var wantA, wantB [most + 1][32]byte
			for n := range wantA {
				wantA[n], wantB[n] = reference(prefix, a[:n]), reference(prefix, b[:n])
			}
			check := func(na, nb int) {
				t.Helper()
				if da, db := sum(prefix, a[:na], b[:nb]); da != wantA[na] || db != wantB[nb] {
					t.Fatalf("prefix of %d bytes, messages of %d and %d: right are %v and %v",
						p, na, nb, da == wantA[na], db == wantB[nb])
				}
			}
			for n := range most + 1 {
				check(n, n)
				for _, m := range others {
					check(n, m)
					check(m, n)
				}
			}
		}
	})
}

func TestLongMessagesAtAnyAddressHashAsTheyDoAlone(t *testing.T) {
	data := random(4, 600<<10)
	eachWay(t, func(t *testing.T, sum func(prefix, a, b []byte) (da, db [32]byte)) {
		r := rand.New(rand.NewSource(5))
		for range 100 {
			prefix := data[:44+r.Intn(21)]
			a := data[r.Intn(64):][:r.Intn(256<<10)]
			b := data[300<<10+r.Intn(64):][:r.Intn(256<<10)]
			if r.Intn(2) == 0 {
				b = b[:min(len(a), len(b))]
				a = a[:len(b)]
			}
			da, db := sum(prefix, a, b)
			if da != reference(prefix, a) || db != reference(prefix, b) {
				t.Fatalf("prefix of %d bytes, messages of %d and %d: right are %v and %v",
					len(prefix), len(a), len(b), da == reference(prefix, a), db == reference(prefix, b))
			}
		}
	})
}

func TestSumAllocatesNothing(t *testing.T) {
	prefix, a, b := random(6, 44), random(7, 4096), random(8, 5000)
	eachWay(t, func(t *testing.T, sum func(prefix, a, b []byte) (da, db [32]byte)) {
		if n := testing.AllocsPerRun(100, func() { sum(prefix, a, b) }); n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte(nil), []byte("abc"), []byte(nil))
	f.Add(random(1, 44), random(2, 4096), random(3, 4096))
	f.Add(random(4, 64), random(5, 55), random(6, 1000))
	f.Fuzz(func(t *testing.T, prefix, a, b []byte) {
		da, db := Sum(prefix, a, b)
		if wa, wb := reference(prefix, a), reference(prefix, b); da != wa || db != wb {
			t.Errorf("got %x and %x, want %x and %x", da, db, wa, wb)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	prefix := random(1, 44)
	for _, size := range []int{256, 4 << 10, 64 << 10} {
		x, y := random(2, size), random(3, size)
		run := func(name string, hashed int, do func()) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(hashed))
				for b.Loop() {
					do()
				}
			})
		}
		run("pair", 2*size, func() { Sum(prefix, x, y) })
		run("one_by_one", 2*size, func() { sumEach(prefix, x, y) })
		run("alone", size, func() { Sum(prefix, x, nil) })
		run("alone_there", size, func() { sumOne(prefix, x) })
	}
}

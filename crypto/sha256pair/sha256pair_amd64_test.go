//go:build !purego

package sha256pair

import "testing"

func TestWithoutTheInstructionsTheSumsAreTheSame(t *testing.T) {
	defer func(had bool) { hasSHA = had }(hasSHA)
	prefix, a, b := random(9, 44), random(10, 4096), random(11, 300)
	hasSHA = false
	da, db := Sum(prefix, a, b)
	if da != reference(prefix, a) || db != reference(prefix, b) {
		t.Errorf("right are %v and %v", da == reference(prefix, a), db == reference(prefix, b))
	}
	if n := testing.AllocsPerRun(100, func() { Sum(prefix, a, b) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

package main

import (
	"os"
	"testing"
)

// TestEveryMutationApplies: a mutation that does not fit the sources any more
// shows nothing.
func TestEveryMutationApplies(t *testing.T) {
	if err := os.Chdir("../../.."); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range mutations {
		if seen[m.id] {
			t.Errorf("%s: there are two", m.id)
		}
		seen[m.id] = true
		if _, err := m.overlay(t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.id, err)
		}
	}
}

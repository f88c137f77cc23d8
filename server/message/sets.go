package message

import (
	"bytes"
	"fmt"
)

// CheckSets checks what the sets P and Q of a view change say (section 3.7),
// signature and certificate apart: entries of the window and of lower views,
// at most one of P and perNumber of Q at a number, and each of P covered by
// one of Q. Whoever breaks a rule lies, and counts for nothing.
func (m *ViewChange) CheckSets(window uint64, perNumber int) error {
	if m.NewView == 0 {
		return fmt.Errorf("view change of replica %d: to view 0, which needs none", m.Replica)
	}
	if err := m.checkSet("P", m.P, window, 1); err != nil {
		return err
	}
	if err := m.checkSet("Q", m.Q, window, perNumber); err != nil {
		return err
	}
	q := m.Q
	for _, p := range m.P {
		for len(q) > 0 && order(q[0], p) < 0 {
			q = q[1:]
		}
		if len(q) == 0 || order(q[0], p) != 0 || q[0].View < p.View {
			return fmt.Errorf("view change of replica %d: prepared %s at %d in view %d, but not pre-prepared it there", m.Replica, p.Digest, p.N, p.View)
		}
	}
	return nil
}

// checkSet checks one set, named what.
func (m *ViewChange) checkSet(what string, set []PQ, window uint64, perNumber int) error {
	at := 0 // entries at the present number
	for i, e := range set {
		if i > 0 && order(set[i-1], e) >= 0 {
			return fmt.Errorf("view change of replica %d: %s is not sorted, or holds an entry twice, at %d", m.Replica, what, e.N)
		}
		if at++; i == 0 || set[i-1].N != e.N {
			at = 1
		}
		switch {
		case e.N <= m.H || e.N-m.H > window:
			return fmt.Errorf("view change of replica %d: %s has an entry at %d, allowed are %d to %d", m.Replica, what, e.N, m.H+1, m.H+window)
		case e.View >= m.NewView:
			return fmt.Errorf("view change of replica %d: %s has an entry of view %d, asked for is %d", m.Replica, what, e.View, m.NewView)
		case at > perNumber:
			return fmt.Errorf("view change of replica %d: %s has more than %d entries at %d", m.Replica, what, perNumber, e.N)
		}
	}
	return nil
}

// order compares two entries by number, then digest.
func order(a, b PQ) int {
	switch {
	case a.N < b.N:
		return -1
	case a.N > b.N:
		return 1
	}
	return bytes.Compare(a.Digest[:], b.Digest[:])
}

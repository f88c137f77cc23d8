package crypto

import (
	"bytes"
	"testing"
)

func TestOutcomeIsTheSameForValueAndTombstone(t *testing.T) {
	value := []byte("a large result")
	kept := Result{N: 4, Number: 2, Status: StatusOK, Value: value}
	dropped := Result{N: 4, Number: 2, Status: StatusOK, Tombstone: true, Digest: testCluster.ValueDigest(value), Size: uint64(len(value))}
	if testCluster.OutcomeOf(&kept) != testCluster.OutcomeOf(&dropped) {
		t.Error("a replica that dropped the value disagrees with one that kept it")
	}
	other := kept
	other.Value = []byte("another result")
	if testCluster.OutcomeOf(&kept) == testCluster.OutcomeOf(&other) {
		t.Error("different values agree")
	}
}

func TestResultsDifferInTheirCanonicalBytes(t *testing.T) {
	base := Result{N: 4, Number: 2, Status: StatusOK, Value: []byte("v")}
	variants := map[string]Result{
		"n":         {N: 5, Number: 2, Status: StatusOK, Value: []byte("v")},
		"number":    {N: 4, Number: 3, Status: StatusOK, Value: []byte("v")},
		"status":    {N: 4, Number: 2, Status: StatusRejected, Value: []byte("v")},
		"value":     {N: 4, Number: 2, Status: StatusOK, Value: []byte("w")},
		"tombstone": {N: 4, Number: 2, Status: StatusOK, Tombstone: true, Digest: testCluster.ValueDigest([]byte("v")), Size: 1},
	}
	for name, r := range variants {
		if bytes.Equal(AppendResult(nil, 1, &r), AppendResult(nil, 1, &base)) {
			t.Errorf("%s does not show", name)
		}
	}
	if bytes.Equal(AppendResult(nil, 1, &base), AppendResult(nil, 2, &base)) {
		t.Error("session does not show")
	}
}

func TestStatusNames(t *testing.T) {
	for s, want := range map[Status]string{
		StatusOK: "OK", StatusExpired: "EXPIRED", StatusRejected: "REJECTED", StatusNotExecuted: "NOT_EXECUTED", 0: "UNKNOWN", 9: "UNKNOWN",
	} {
		if s.String() != want {
			t.Errorf("%d: %s, want %s", s, s, want)
		}
	}
}

func TestSessionOfDataDependsOnDataAndCluster(t *testing.T) {
	a := testCluster.SessionOfData([]byte("a"))
	if a != testCluster.SessionOfData([]byte("a")) || a == testCluster.SessionOfData([]byte("b")) || a == (ClusterID{}).SessionOfData([]byte("a")) {
		t.Error("the session must follow from cluster and data")
	}
	if a>>63 != 1 {
		t.Errorf("%x: the highest bit is not set, so it could be 0, which means none", a)
	}
}

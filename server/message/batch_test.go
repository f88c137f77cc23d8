package message

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
)

var testLimits = Limits{MaxBatch: 100, MaxBatchBytes: 1 << 20}

func TestBatchSurvivesTheWire(t *testing.T) {
	for _, groups := range [][]crypto.GroupView{nil, testGroups()[:1], testGroups()} {
		made := NewBatch(testCluster, Header{Epoch: 1, N: 9, WallUS: 123}, groups)
		got, err := ParseBatch(testCluster, testLimits, made.Header, bytes.Clone(made.Body))
		if err != nil {
			t.Fatalf("%d groups: %v", len(groups), err)
		}
		if got.Digest != made.Digest || got.Header != made.Header || !reflect.DeepEqual(got.Groups, made.Groups) {
			t.Errorf("%d groups: parsed %+v, made %+v", len(groups), got, made)
		}
		if int(made.Header.Bytes) != len(made.Body) {
			t.Errorf("header says %d bytes of %d", made.Header.Bytes, len(made.Body))
		}
	}
}

// A batch must not change with the buffers that its groups came in.
func TestNewBatchCopiesItsGroups(t *testing.T) {
	groups := testGroups()
	b := NewBatch(testCluster, Header{N: 1}, groups)
	for i := range groups {
		clear(groups[i].Raw)
	}
	if _, err := ParseBatch(testCluster, testLimits, b.Header, b.Body); err != nil {
		t.Error(err)
	}
	if string(b.Groups[0].Client) != "alice" || b.Groups[0].FirstNumber() != 1 {
		t.Errorf("group 0 is of %q from %d", b.Groups[0].Client, b.Groups[0].FirstNumber())
	}
}

func TestBatchDigestIsThatOfItsHeader(t *testing.T) {
	h := NewBatch(testCluster, Header{Epoch: 1, N: 9, WallUS: 123}, testGroups()).Header
	seen := map[crypto.Digest]bool{h.Digest(testCluster): true}
	for i, change := range []func(*Header){
		func(h *Header) { h.Epoch++ }, func(h *Header) { h.N++ }, func(h *Header) { h.WallUS++ },
		func(h *Header) { h.Count++ }, func(h *Header) { h.Bytes++ }, func(h *Header) { h.GroupsRoot[31]++ },
	} {
		other := h
		change(&other)
		d := other.Digest(testCluster)
		if seen[d] {
			t.Errorf("change %d leaves the digest as it was", i)
		}
		seen[d] = true
	}
}

func TestParseBatchRefuses(t *testing.T) {
	requests := func(kind crypto.Kind, client string) []crypto.GroupView {
		return []crypto.GroupView{view(crypto.Group{Client: client, Requests: []crypto.Request{{Number: 1, Kind: kind}}})}
	}
	body := func(b *Batch, groups ...[]byte) {
		b.Body = crypto.AppendU32(nil, uint32(len(groups)))
		for _, g := range groups {
			b.Body = crypto.AppendBytes(b.Body, g)
		}
		b.Header.Bytes = uint32(len(b.Body))
	}
	tests := []struct {
		name   string
		groups []crypto.GroupView
		limits Limits
		change func(*Batch)
		want   string
	}{
		{"more bytes than the header says", nil, testLimits, func(b *Batch) { b.Header.Bytes-- }, "header says"},
		{"fewer bytes than the header says", nil, testLimits, func(b *Batch) { b.Header.Bytes++ }, "header says"},
		{"another count", nil, testLimits, func(b *Batch) { b.Header.Count = 2 }, "3 requests, header says 2"},
		{"another root", nil, testLimits, func(b *Batch) { b.Header.GroupsRoot[0]++ }, "groups hash to"},
		{"a changed request", nil, testLimits, func(b *Batch) { b.Body[len(b.Body)-1]++ }, "groups hash to"},
		{"too many requests", nil, Limits{MaxBatch: 2, MaxBatchBytes: 1 << 20}, nil, "the most allowed is 2"},
		{"too many bytes", nil, Limits{MaxBatch: 100, MaxBatchBytes: 64}, nil, "the most allowed is 64"},
		{"no body at all", nil, testLimits, func(b *Batch) { b.Body, b.Header.Bytes = nil, 0 }, "batch 9"},
		{"more groups than fit", nil, testLimits, func(b *Batch) { binary.BigEndian.PutUint32(b.Body, 1<<32-1) }, "4294967295 groups do not fit"},
		{"fewer groups than there are", nil, testLimits, func(b *Batch) { binary.BigEndian.PutUint32(b.Body, 1) }, "batch 9"},
		{"more groups than there are", nil, testLimits, func(b *Batch) { binary.BigEndian.PutUint32(b.Body, 3) }, "batch 9"},
		{"an invalid group", nil, testLimits, func(b *Batch) { body(b, make([]byte, 60)) }, "client id"},
		{"a length beyond the end", nil, testLimits, func(b *Batch) { binary.BigEndian.PutUint32(b.Body[4:], 1<<31) }, "batch 9"},
		{"a kind that is not served", requests(crypto.KindRead, "c"), testLimits, nil, "of kind 2"},
		{"the administrator's name", requests(crypto.KindOperation, AdminClient), testLimits, nil, "reserved"},
		{"a member's name", requests(crypto.KindOperation, MemberPrefix+"1"), testLimits, nil, "reserved"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			groups := test.groups
			if groups == nil {
				groups = testGroups()
			}
			b := NewBatch(testCluster, Header{Epoch: 1, N: 9}, groups)
			if test.change != nil {
				test.change(b)
			}
			_, err := ParseBatch(testCluster, test.limits, b.Header, b.Body)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzParseBatch(f *testing.F) {
	b := NewBatch(testCluster, Header{Epoch: 1, N: 9}, testGroups())
	f.Add(b.Body, b.Header.Count)
	f.Add([]byte{0, 0, 0, 0}, uint32(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint32(1))
	f.Fuzz(func(t *testing.T, body []byte, count uint32) {
		h := Header{N: 1, Count: count, Bytes: uint32(len(body))}
		// With the root of whatever parses the rest of the checks is reached.
		groups, _, err := parseBody(body)
		if err == nil {
			h.GroupsRoot = groupsRoot(testCluster, groups)
		}
		got, err := ParseBatch(testCluster, testLimits, h, body)
		if err != nil {
			return
		}
		again := NewBatch(testCluster, Header{N: 1}, got.Groups)
		if again.Digest != got.Digest || !bytes.Equal(again.Body, body) {
			t.Errorf("%x parses, but made anew it is %x", body, again.Body)
		}
	})
}

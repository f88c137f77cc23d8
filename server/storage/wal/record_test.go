package wal

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// everyKind has a record of each kind, with every field set that it can have.
func everyKind() []consensus.Record {
	selected := consensus.Record{Kind: consensus.RecAccept, Selected: true, N: 7, View: 3, Digest: digest(7)}
	body := accept(8, 0, 100)
	body.Kind = consensus.RecBody
	empty := message.NewBatch(testCluster, message.Header{Epoch: 1, N: 9}, nil)
	genesis := viewChange(2, 0, 3)
	genesis.Certificate, genesis.P, genesis.Q = message.Certificate{}, nil, nil
	return []consensus.Record{
		accept(6, 2, 3000), selected, body,
		{Kind: consensus.RecAccept, N: 9, View: 1, Digest: empty.Digest, Batch: empty},
		prepared(6, 2), committed(6, 2),
		changed(4, 8), {Kind: consensus.RecViewChange, View: 2, Msg: genesis}, installed(4, 8),
		checkpoint(16), stable(16),
		{Kind: consensus.RecStarted}, seen(63), {Kind: consensus.RecJoined}, {Kind: consensus.RecLost},
	}
}

func decode(payload []byte) (records []consensus.Record, err error) {
	o := Options{Cluster: testCluster, Limits: testLimits}
	d := decoder{Reader: crypto.NewReader(payload), o: &o}
	err = d.records(func(r *consensus.Record) error {
		records = append(records, *r)
		return nil
	})
	return records, err
}

func TestARecordOfEveryKindComesBackAsItWas(t *testing.T) {
	want := everyKind()
	payload := appendRecords(nil, want)
	got, err := decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	clear(payload) // nothing may alias it
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("kind %d: got\n%+v, want\n%+v", want[i].Kind, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d records, want %d", len(got), len(want))
	}
	kinds := map[consensus.RecordKind]bool{}
	for i := range want {
		kinds[want[i].Kind] = true
	}
	for k := consensus.RecAccept; k <= consensus.RecLost; k++ {
		if !kinds[k] {
			t.Errorf("this test has no record of kind %d", k)
		}
	}
}

func TestATruncatedRecordIsRefused(t *testing.T) {
	for _, r := range everyKind() {
		payload := appendRecords(nil, []consensus.Record{r})
		for n := range payload {
			if _, err := decode(payload[:n]); err == nil {
				t.Fatalf("kind %d: %d of %d bytes were taken for a record", r.Kind, n, len(payload))
			}
		}
		if _, err := decode(append(payload, 0)); err == nil {
			t.Fatalf("kind %d: a byte too many was not seen", r.Kind)
		}
	}
}

// inconsistent are records whose fields contradict each other, each with what the
// error must say.
func inconsistent() map[string]consensus.Record {
	otherN, otherDigest := accept(6, 1, 10), accept(6, 1, 10)
	otherN.N, otherDigest.Digest = 7, digest(1)
	view, wrongView := changed(4, 8), installed(4, 8)
	view.View, wrongView.View = 5, 5
	unproven := viewChange(4, 8, 1)
	unproven.H = 9
	missing, stranger := installed(4, 8), installed(4, 8)
	missing.Set = missing.Set[1:]
	stranger.Set[1] = viewChange(4, 8, 1)
	otherVote, otherProof, disorder := checkpoint(8), stable(8), stable(8)
	otherVote.N, otherProof.N = 16, 16
	disorder.Certificate.Votes[2].Replica = 0
	noBody := accept(6, 1, 10)
	noBody.Kind, noBody.Batch = consensus.RecBody, nil
	surplus := prepared(4, 2)
	surplus.Certificate = certificate(4)
	return map[string]consensus.Record{
		"at 7 holds batch":                                               otherN,
		"at 6 holds batch":                                               otherDigest,
		"record of view 5 holds a view":                                  view,
		"record of view 5 with 3":                                        wrongView,
		"its certificate proves 8, h is 9":                               {Kind: consensus.RecViewChange, View: 4, Msg: unproven},
		"with 2 view changes holds":                                      missing,
		"is not the one of replica 2":                                    stranger,
		"record of " + digest(8).String() + " at checkpoint 16":          otherVote,
		"holds a certificate of 8":                                       otherProof,
		"do not agree, or are not in order":                              disorder,
		"record of kind 10 with batch false":                             noBody,
		"record of kind 2 with batch false":                              surplus,
		"record of kind 4 with batch false, message *message.Checkpoint": {Kind: consensus.RecViewChange, N: 8, Digest: digest(8), Msg: vote(8, 0)},
		"unknown kind 99":                                                {Kind: 99},
		"unknown kind 0":                                                 {},
	}
}

func TestARecordThatContradictsItselfIsNeitherWrittenNorRead(t *testing.T) {
	for want, r := range inconsistent() {
		if err := check(&r, testCluster); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check says %v, want %q", err, want)
		}
		if _, err := decode(appendRecords(nil, []consensus.Record{r})); err == nil {
			t.Errorf("%q: was read", want)
		}
	}
}

func TestABatchAboveTheLimitsIsRefused(t *testing.T) {
	payload := appendRecords(nil, []consensus.Record{accept(3, 1, 2000)})
	o := Options{Cluster: testCluster, Limits: message.Limits{MaxBatch: 10, MaxBatchBytes: 1000}}
	d := decoder{Reader: crypto.NewReader(payload), o: &o}
	err := d.records(func(*consensus.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "the most allowed is 1000") {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode shows that no bytes bring the decoder down, and that what it takes
// is written as it was read.
func FuzzDecode(f *testing.F) {
	for _, r := range everyKind() {
		f.Add(appendRecords(nil, []consensus.Record{r}))
	}
	f.Add(appendRecords(nil, everyKind()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		records, err := decode(payload)
		if err != nil {
			return
		}
		if again := appendRecords(nil, records); string(again) != string(payload) {
			t.Errorf("read %x, wrote %x", payload, again)
		}
	})
}

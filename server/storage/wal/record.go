package wal

import (
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
)

// A record is: kind u8, flags u8, n u64, view u64, digest, replica u16, and what
// the flags name, in their order.
const (
	flagSelected    = 1 << iota
	flagBatch       // header and body
	flagMessage     // its kind u8, then as signed, and the signature
	flagSet         // number u32, then view changes
	flagCertificate // number of votes u32, then votes
	flagsKnown      = 1<<iota - 1
)

const (
	messageViewChange = 1
	messageNewView    = 2
	messageCheckpoint = 3
)

// recordSize is the size of the smallest record.
const recordSize = 1 + 1 + 8 + 8 + 32 + 2

// flags tells which of the optional fields a record has.
func flags(r *consensus.Record) (f byte) {
	if r.Selected {
		f |= flagSelected
	}
	if r.Batch != nil {
		f |= flagBatch
	}
	if r.Msg != nil {
		f |= flagMessage
	}
	if len(r.Set) > 0 {
		f |= flagSet
	}
	if r.Certificate != nil {
		f |= flagCertificate
	}
	return f
}

func appendRecord(b []byte, r *consensus.Record) []byte {
	b = append(b, byte(r.Kind), flags(r))
	b = crypto.AppendU64(b, r.N)
	b = crypto.AppendU64(b, r.View)
	b = append(b, r.Digest[:]...)
	b = crypto.AppendU16(b, uint16(r.Replica))
	if r.Batch != nil {
		b = crypto.AppendBytes(r.Batch.Header.Append(b), r.Batch.Body)
	}
	switch m := r.Msg.(type) {
	case *message.ViewChange:
		b = appendViewChange(append(b, messageViewChange), m)
	case *message.NewView:
		b = appendNewView(append(b, messageNewView), m)
	case *message.Checkpoint:
		b = appendCheckpoint(append(b, messageCheckpoint), m)
	}
	if len(r.Set) > 0 {
		b = crypto.AppendU32(b, uint32(len(r.Set)))
		for _, m := range r.Set {
			b = appendViewChange(b, m)
		}
	}
	if r.Certificate != nil {
		b = appendCertificate(b, r.Certificate)
	}
	return b
}

// record reads the next record and checks that its fields agree. What it gives
// aliases nothing of the input.
func (d *decoder) record() (r consensus.Record) {
	r.Kind = consensus.RecordKind(d.U8())
	has := d.U8()
	if has&^flagsKnown != 0 {
		d.fail("unknown flags %#02x of a record", has)
		return r
	}
	r.Selected = has&flagSelected != 0
	r.N, r.View, r.Digest = d.U64(), d.U64(), d.Digest()
	r.Replica = message.ReplicaID(d.U16())
	if has&flagBatch != 0 {
		r.Batch = d.batch()
	}
	if has&flagMessage != 0 {
		d.message(&r)
	}
	if has&flagSet != 0 {
		d.set(&r)
	}
	if has&flagCertificate != 0 {
		c := d.certificate()
		r.Certificate = &c
	}
	if d.failed() == nil {
		if err := check(&r, d.o.Cluster); err != nil {
			d.fail("%w", err)
		}
	}
	return r
}

func (d *decoder) message(r *consensus.Record) {
	switch k := d.U8(); k {
	case messageViewChange:
		r.Msg = d.viewChange()
	case messageNewView:
		r.Msg = d.newView()
	case messageCheckpoint:
		m := d.checkpoint()
		r.Msg = &m
	default:
		d.fail("unknown kind %d of a message", k)
	}
}

func (d *decoder) set(r *consensus.Record) {
	n := d.count("view changes", viewChangeSize)
	if n == 0 || n > message.MaxReplicas {
		d.fail("set of %d view changes, there are at most %d replicas", n, message.MaxReplicas)
		return
	}
	r.Set = make([]*message.ViewChange, 0, n)
	for range n {
		if d.failed() != nil {
			return
		}
		r.Set = append(r.Set, d.viewChange())
	}
}

// check tells whether the fields of a record agree. It holds for what is written
// as for what is read, so that whatever is written can be read.
func check(r *consensus.Record, c crypto.ClusterID) error {
	if err := checkShape(r); err != nil {
		return err
	}
	switch m := r.Msg.(type) {
	case *message.ViewChange:
		if m.NewView != r.View {
			return fmt.Errorf("record of view %d holds a view change to %d", r.View, m.NewView)
		}
		return checkViewChange(m)
	case *message.NewView:
		return checkNewView(r, m, c)
	case *message.Checkpoint:
		if m.N != r.N || m.Digest != r.Digest {
			return fmt.Errorf("record of %s at checkpoint %d holds a vote for %s at %d", r.Digest, r.N, m.Digest, m.N)
		}
	}
	if b := r.Batch; b != nil && (b.Header.N != r.N || b.Digest != r.Digest || int(b.Header.Bytes) != len(b.Body)) {
		return fmt.Errorf("record of %s at %d holds batch %s of %d with %d bytes of %d", r.Digest, r.N, b.Digest, b.Header.N, len(b.Body), b.Header.Bytes)
	}
	if r.Certificate == nil {
		return nil
	}
	if r.Certificate.N() != r.N {
		return fmt.Errorf("record of a stable checkpoint at %d holds a certificate of %d", r.N, r.Certificate.N())
	}
	return checkCertificate(r.Certificate)
}

// checkShape asks for the fields that each kind has, and refuses others.
func checkShape(r *consensus.Record) error {
	has := flags(r) &^ flagSelected
	ok := false
	switch r.Kind {
	case consensus.RecAccept:
		ok = has == 0 || has == flagBatch
	case consensus.RecPrepared, consensus.RecCommitted, consensus.RecStarted, consensus.RecSeen, consensus.RecJoined, consensus.RecLost:
		ok = has == 0
	case consensus.RecBody:
		ok = has == flagBatch
	case consensus.RecViewChange:
		_, ok = r.Msg.(*message.ViewChange)
		ok = ok && has == flagMessage
	case consensus.RecNewView:
		_, ok = r.Msg.(*message.NewView)
		ok = ok && has == flagMessage|flagSet
	case consensus.RecCheckpoint:
		_, ok = r.Msg.(*message.Checkpoint)
		ok = ok && has == flagMessage
	case consensus.RecStable:
		ok = has == flagCertificate
	default:
		return fmt.Errorf("unknown kind %d of a record", r.Kind)
	}
	if !ok {
		return fmt.Errorf("record of kind %d with batch %t, message %T, %d view changes, certificate %t: that kind has others",
			r.Kind, r.Batch != nil, r.Msg, len(r.Set), r.Certificate != nil)
	}
	return nil
}

func checkNewView(r *consensus.Record, m *message.NewView, c crypto.ClusterID) error {
	if m.View != r.View || len(r.Set) != len(m.ViewChanges) {
		return fmt.Errorf("record of view %d with %d view changes holds the new view %d of %d", r.View, len(r.Set), m.View, len(m.ViewChanges))
	}
	for i, v := range r.Set {
		if err := checkViewChange(v); err != nil {
			return err
		}
		if ref := m.ViewChanges[i]; v.Replica != ref.Replica || v.NewView != m.View || v.Digest(c) != ref.Digest {
			return fmt.Errorf("new view %d: view change %d is not the one of replica %d that it names", m.View, i, ref.Replica)
		}
	}
	return nil
}

// appendRecords appends the payload of an append.
func appendRecords(b []byte, records []consensus.Record) []byte {
	b = crypto.AppendU32(b, uint32(len(records)))
	for i := range records {
		b = appendRecord(b, &records[i])
	}
	return b
}

// records reads to the end of the payload, and gives each record to f.
func (d *decoder) records(f func(*consensus.Record) error) error {
	n := d.count("records", recordSize)
	for i := range n {
		r := d.record()
		if err := d.failed(); err != nil {
			return fmt.Errorf("record %d of %d: %w", i+1, n, err)
		}
		if err := f(&r); err != nil {
			return refused("record %d of %d: %w", i+1, n, err)
		}
	}
	if err := d.failed(); err != nil {
		return err
	}
	return d.Done()
}

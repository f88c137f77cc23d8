package wire

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// This file ties the structs written by hand to the generated ones: what one
// means in terms of the other, and which generated messages are within bounds.

func requestPB(m *SessionRequest) *pbftv1.SessionRequest {
	pb := &pbftv1.SessionRequest{Closes: m.Closes}
	for _, o := range m.Opens {
		form := pbftv1.ReplyForm_REPLY_FORM_RESULTS
		if o.Digests {
			form = pbftv1.ReplyForm_REPLY_FORM_DIGESTS
		}
		pb.Opens = append(pb.Opens, &pbftv1.Open{
			Handle: o.Handle, Client: o.Client, Session: o.Session, Form: form, Signature: o.Signature,
		})
	}
	for _, g := range m.Groups {
		group := &pbftv1.Group{Handle: g.Handle, Signature: g.Signature, Alone: g.Alone, Retry: g.Retry}
		for _, r := range g.Requests {
			q := &pbftv1.Request{Number: r.Number, Op: r.Op, ReplyUrl: string(r.ReplyURL)}
			if r.Kind != crypto.KindOperation {
				q.Kind = pbftv1.RequestKind(r.Kind)
			}
			if r.ClientTime != crypto.NoClientTime {
				f := math.Float64frombits(r.ClientTime)
				q.ClientTime = &f
			}
			group.Requests = append(group.Requests, q)
		}
		pb.Groups = append(pb.Groups, group)
	}
	for _, q := range m.Outcomes {
		pb.Outcomes = append(pb.Outcomes, &pbftv1.OutcomeQuery{Handle: q.Handle, Number: q.Number, Session: q.Session})
	}
	return pb
}

func responsePB(m *SessionResponse) *pbftv1.SessionResponse {
	pb := new(pbftv1.SessionResponse)
	if i := m.Info; i != nil {
		pb.Info = &pbftv1.ServerInfo{
			Index: uint32(i.Index), Replicas: uint32(i.Replicas), View: i.View, Epoch: i.Epoch,
			ClusterId: i.Cluster[:], ClientWindow: i.ClientWindow, MaxGroup: uint32(i.MaxGroup),
			MaxGroupBytes: uint32(i.MaxGroupBytes), MaxOperationBytes: uint32(i.MaxOperationBytes), Normal: i.Normal,
		}
	}
	for _, k := range m.Blocks {
		block := &pbftv1.BlockReply{Handle: k.Handle, N: k.N, View: k.View}
		if !k.Digest.IsZero() {
			block.Digest = append([]byte(nil), k.Digest[:]...)
		}
		for _, r := range k.Results {
			result := &pbftv1.Result{N: r.N, Number: r.Number, Status: pbftv1.ReplyStatus(r.Status)}
			if r.Tombstone {
				result.Outcome = &pbftv1.Result_Tombstone{Tombstone: tombstonePB(r)}
			} else {
				result.Outcome = &pbftv1.Result_Result{Result: r.Value}
			}
			block.Results = append(block.Results, result)
		}
		pb.Blocks = append(pb.Blocks, block)
	}
	for _, s := range m.Singles {
		reply := &pbftv1.Reply{
			View: s.View, N: s.Result.N, Client: s.Client, Session: s.Session, Number: s.Result.Number,
			Status: pbftv1.ReplyStatus(s.Result.Status), Replica: uint32(s.Replica),
		}
		if s.Result.Tombstone {
			reply.Outcome = &pbftv1.Reply_Tombstone{Tombstone: tombstonePB(s.Result)}
		} else {
			reply.Outcome = &pbftv1.Reply_Result{Result: s.Result.Value}
		}
		pb.Singles = append(pb.Singles, &pbftv1.SingleReply{Handle: s.Handle, Reply: reply})
	}
	for _, r := range m.Refusals {
		pb.Refusals = append(pb.Refusals, &pbftv1.Refusal{
			Handle: r.Handle, FirstNumber: r.First, LastNumber: r.Last, Reason: r.Reason,
			Message: r.Message, RetryAfterMs: uint32(r.RetryAfter / time.Millisecond),
		})
	}
	return pb
}

func tombstonePB(r crypto.Result) *pbftv1.Tombstone {
	return &pbftv1.Tombstone{Digest: append([]byte(nil), r.Digest[:]...), Size: r.Size}
}

// normalRequest replaces in pb what is said in two ways by the one that
// requestPB uses.
func normalRequest(pb *pbftv1.SessionRequest) {
	dropUnknown(pb.ProtoReflect())
	for _, o := range pb.GetOpens() {
		if o.GetForm() == pbftv1.ReplyForm_REPLY_FORM_UNSPECIFIED {
			o.Form = pbftv1.ReplyForm_REPLY_FORM_RESULTS
		}
	}
	for _, g := range pb.GetGroups() {
		for _, r := range g.GetRequests() {
			if r.GetKind() == pbftv1.RequestKind_REQUEST_KIND_OPERATION {
				r.Kind = pbftv1.RequestKind_REQUEST_KIND_UNSPECIFIED
			}
			if r.ClientTime != nil && math.Float64bits(r.GetClientTime()) == crypto.NoClientTime {
				r.ClientTime = nil
			}
		}
	}
}

// normalResponse is normalRequest for responses. It also drops the signature
// of replies, which sessions do not ask for.
func normalResponse(pb *pbftv1.SessionResponse) {
	dropUnknown(pb.ProtoReflect())
	if pb.GetInfo() != nil && len(pb.GetInfo().GetClusterId()) == 0 {
		pb.Info.ClusterId = make([]byte, 32)
	}
	for _, k := range pb.GetBlocks() {
		if string(k.GetDigest()) == string(make([]byte, 32)) {
			k.Digest = nil
		}
		for _, r := range k.GetResults() {
			if r.GetOutcome() == nil {
				r.Outcome = &pbftv1.Result_Result{}
			}
		}
	}
	for _, s := range pb.GetSingles() {
		s.Reply.Signature = nil
		if s.GetReply().GetOutcome() == nil {
			s.Reply.Outcome = &pbftv1.Reply_Result{}
		}
	}
}

func dropUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				dropUnknown(v.List().Get(i).Message())
			}
		default:
			dropUnknown(v.Message())
		}
		return true
	})
}

// checker collects the first bound that is broken.
type checker struct{ err error }

func (c *checker) most(what string, n, most int) {
	if c.err == nil && n > most {
		c.err = fmt.Errorf("%s: %d", what, n)
	}
}

func (c *checker) want(ok bool, what string) {
	if c.err == nil && !ok {
		c.err = fmt.Errorf("%s", what)
	}
}

// requestBounds is the bound that pb breaks, nil if it keeps all.
func requestBounds(pb *pbftv1.SessionRequest) error {
	var c checker
	c.most("opens", len(pb.GetOpens()), 4096)
	c.most("groups", len(pb.GetGroups()), 4096)
	c.most("outcomes", len(pb.GetOutcomes()), 4096)
	c.most("closes", len(pb.GetCloses()), 4096)
	for _, o := range pb.GetOpens() {
		c.want(o.GetForm() >= 0 && o.GetForm() <= 2, "form")
	}
	total := 0
	for _, g := range pb.GetGroups() {
		c.most("requests", len(g.GetRequests()), crypto.MaxGroup)
		total += len(g.GetRequests())
		for _, r := range g.GetRequests() {
			c.want(r.GetKind() >= 0 && r.GetKind() <= 255, "kind")
		}
	}
	c.most("requests of all groups", total, MaxRequests)
	return c.err
}

// responseBounds is requestBounds for responses.
func responseBounds(pb *pbftv1.SessionResponse) error {
	var c checker
	c.most("blocks", len(pb.GetBlocks()), 4096)
	c.most("singles", len(pb.GetSingles()), 4096)
	c.most("refusals", len(pb.GetRefusals()), 4096)
	c.most("index", int(pb.GetInfo().GetIndex()), 65535)
	c.most("replicas", int(pb.GetInfo().GetReplicas()), 65535)
	c.digest(pb.GetInfo().GetClusterId(), true)
	total := 0
	for _, k := range pb.GetBlocks() {
		total += len(k.GetResults())
		c.digest(k.GetDigest(), true)
		for _, r := range k.GetResults() {
			c.status(r.GetStatus())
			if t := r.GetTombstone(); t != nil {
				c.digest(t.GetDigest(), false)
			}
		}
	}
	c.most("results of all blocks", total, MaxRequests)
	for _, s := range pb.GetSingles() {
		c.want(s.GetReply() != nil, "reply")
		c.status(s.GetReply().GetStatus())
		c.most("replica", int(s.GetReply().GetReplica()), 65535)
		if t := s.GetReply().GetTombstone(); t != nil {
			c.digest(t.GetDigest(), false)
		}
	}
	return c.err
}

func (c *checker) status(s pbftv1.ReplyStatus) { c.want(s >= 1 && s <= 4, "status") }

func (c *checker) digest(b []byte, optional bool) {
	c.want(len(b) == 32 || optional && len(b) == 0, "digest")
}

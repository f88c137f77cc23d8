package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// stream serves one call of Session. Its reader, a goroutine of its own, owns
// the handles; the call's goroutine sends what the outbox holds. The reader
// never waits for the sender: a client that does not read overflows its outbox,
// which ends the stream.
type stream struct {
	s       *Server
	g       grpc.ServerStream
	out     *outbox
	handles map[uint32]*handle
}

// handle is one session that is open on the stream.
type handle struct{ key sessionKey }

func (s *Server) serveStream(g grpc.ServerStream) error {
	t := &stream{s: s, g: g, out: newOutbox(), handles: map[uint32]*handle{}}
	s.sessions.join(t.out, s.backend.Info)
	s.readers.Add(1)
	go func() {
		defer s.readers.Done()
		err := t.read()
		s.sessions.quit(t.out, t.handles)
		t.out.fail(err)
	}()
	return t.send()
}

// send writes what waits until the stream ends, and says why it does.
func (t *stream) send() error {
	for {
		select {
		case <-t.out.wake:
		case <-t.g.Context().Done():
			return status.FromContextError(t.g.Context().Err()).Err()
		case <-t.s.stopping:
			return status.Error(codes.Unavailable, errStopping.Error())
		}
		messages, err := t.out.take()
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := t.g.SendMsg(&wire.Segments{Parts: m}); err != nil {
				return err
			}
			t.out.release(m)
		}
	}
}

// read takes the client's messages until the stream ends. It returns the
// status to end the stream with.
func (t *stream) read() error {
	raw := wire.Raw{Reuse: true} // what is kept of a message is copied
	var in wire.SessionRequest
	for {
		err := t.g.RecvMsg(&raw)
		if errors.Is(err, io.EOF) {
			// The client has nothing more to ask, but may wait for answers.
			<-t.g.Context().Done()
			return status.FromContextError(t.g.Context().Err()).Err()
		}
		if err != nil {
			return err
		}
		if err := in.Parse(raw.Data); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		for i := range in.Opens {
			t.open(&in.Opens[i])
		}
		info := t.s.backend.Info()
		for i := range in.Groups {
			t.submit(&in.Groups[i], &info)
		}
		for i := range in.Outcomes {
			if err := t.lookUp(t.g.Context(), &in.Outcomes[i]); err != nil {
				return err
			}
		}
		for _, number := range in.Closes {
			t.close(number)
		}
	}
}

// open ties a session to the stream. What is wrong with it is told by a
// refusal; the groups that follow will be refused too.
func (t *stream) open(in *wire.Open) {
	key := sessionKey{in.Client, in.Session}
	if h := t.handles[in.Handle]; h != nil && h.key != key {
		t.close(in.Handle)
	}
	refuse := func(reason pbftv1.RefusalReason, format string, args ...any) {
		t.out.addRefusal(wire.Refusal{Handle: in.Handle, Reason: reason, Message: "open: " + fmt.Sprintf(format, args...)})
	}
	err := crypto.CheckClient(in.Client)
	switch n := len(in.Signature); {
	case err != nil:
		refuse(pbftv1.RefusalReason_REFUSAL_REASON_INVALID, "%v", err)
		return
	case in.Session == 0:
		refuse(pbftv1.RefusalReason_REFUSAL_REASON_INVALID, "session is 0, draw a random number when the program starts")
		return
	case n != 0 && n != crypto.SignatureSize:
		refuse(pbftv1.RefusalReason_REFUSAL_REASON_INVALID, "signature of %d bytes, allowed are none or %d", n, crypto.SignatureSize)
		return
	case len(t.handles) >= maxHandles && t.handles[in.Handle] == nil:
		refuse(pbftv1.RefusalReason_REFUSAL_REASON_CLIENT_QUOTA, "%d sessions are open on this stream, the most allowed: close some", maxHandles)
		return
	}
	if !t.s.sessions.open(key, subscriber{out: t.out, handle: in.Handle, digests: in.Digests}) {
		refuse(pbftv1.RefusalReason_REFUSAL_REASON_OVERLOADED, "%d sessions are open at this replica, the most allowed: try another replica", maxSessions)
		return
	}
	t.handles[in.Handle] = &handle{key: key}
}

func (t *stream) close(number uint32) {
	if h := t.handles[number]; h != nil {
		t.s.sessions.close(h.key, t.out, number)
		delete(t.handles, number)
	}
}

// submit hands a group to the core. Its origin is 0: every replica answers on
// the client's stream to it.
func (t *stream) submit(in *wire.Group, info *wire.ServerInfo) {
	refusal := wire.Refusal{Handle: in.Handle, Reason: pbftv1.RefusalReason_REFUSAL_REASON_INVALID}
	if n := len(in.Requests); n > 0 {
		refusal.First, refusal.Last = in.Requests[0].Number, in.Requests[n-1].Number
	}
	view, err := t.group(in, info)
	if err != nil {
		refusal.Message = err.Error()
		t.out.addRefusal(refusal)
		return
	}
	decided := func(r consensus.Reason) {
		if r == consensus.OK {
			return
		}
		d := denialOf(r, info.ClientWindow)
		refusal.Reason, refusal.Message, refusal.RetryAfter = d.reason, d.text, d.retry
		t.out.addRefusal(refusal)
	}
	src := consensus.Source{Alone: in.Alone, Retry: in.Retry}
	if r := t.s.backend.Submit(view, src, decided); r != consensus.OK {
		decided(r)
	}
}

// group makes the canonical bytes of a group and checks them.
func (t *stream) group(in *wire.Group, info *wire.ServerInfo) (crypto.GroupView, error) {
	h := t.handles[in.Handle]
	if h == nil {
		return crypto.GroupView{}, fmt.Errorf("handle %d is not open: open a session under it first", in.Handle)
	}
	if message.Reserved(h.key.client) {
		return crypto.GroupView{}, fmt.Errorf("client %q is reserved for the cluster's own requests, choose another client id", h.key.client)
	}
	size := groupOverhead + len(h.key.client) + len(in.Signature)
	for i := range in.Requests {
		r := &in.Requests[i]
		if err := t.checkRequest(r, info); err != nil {
			return crypto.GroupView{}, fmt.Errorf("request %d: %w", r.Number, err)
		}
		size += requestOverhead + len(r.Op) + len(r.ReplyURL)
	}
	g := crypto.Group{Client: h.key.client, Session: h.key.session, Requests: in.Requests, Signature: in.Signature}
	// A fresh slice of the right size: the group outlives the frame, and must
	// not keep it alive.
	return crypto.ParseGroup(g.Append(make([]byte, 0, size)))
}

// Canonical bytes of a group and of each request, beside those of client,
// signature, operation and reply URL.
const (
	groupOverhead   = 4 + 8 + 4 + 4 + 2
	requestOverhead = 8 + 1 + 4 + 8 + 4
)

func (t *stream) checkRequest(r *crypto.Request, info *wire.ServerInfo) error {
	if r.Kind != crypto.KindOperation {
		if err := checkKind("kind", pbftv1.RequestKind(r.Kind)); err != nil {
			return plain(err)
		}
	}
	if err := checkOp("op", len(r.Op), info); err != nil {
		return plain(err)
	}
	if len(r.ReplyURL) == 0 {
		return nil
	}
	return plain(t.s.hosts.check("reply_url", string(r.ReplyURL)))
}

// plain is a status error's text alone: a refusal has a code of its own.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(status.Convert(err).Message())
}

// lookUp answers one query from this replica's own knowledge. It blocks the
// stream's reader meanwhile, which is what bounds the queries of one client.
func (t *stream) lookUp(ctx context.Context, q *wire.OutcomeQuery) error {
	refusal := wire.Refusal{Handle: q.Handle, First: q.Number, Last: q.Number, Reason: pbftv1.RefusalReason_REFUSAL_REASON_INVALID}
	h := t.handles[q.Handle]
	switch {
	case h == nil:
		refusal.Message = fmt.Sprintf("outcome of number %d: handle %d is not open: open a session under it first", q.Number, q.Handle)
	case q.Number > crypto.MaxNumber:
		refusal.Message = fmt.Sprintf("outcome of number %d: allowed are 0 to %d", q.Number, uint64(crypto.MaxNumber))
	default:
		return t.answer(ctx, q, h, refusal)
	}
	t.out.addRefusal(refusal)
	return nil
}

func (t *stream) answer(ctx context.Context, q *wire.OutcomeQuery, h *handle, refusal wire.Refusal) error {
	view, session, r, err := t.s.backend.Lookup(ctx, h.key.client, q.Session, q.Number)
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if err != nil {
		d := denialOf(consensus.NotReady, 0)
		refusal.Reason, refusal.RetryAfter = d.reason, d.retry
		refusal.Message = fmt.Sprintf("outcome of number %d: %v", q.Number, err)
		t.out.addRefusal(refusal)
		return nil
	}
	if q.Session != 0 {
		session = q.Session // REJECTED answers the session that asked
	}
	t.out.addSingle(wire.Single{Handle: q.Handle, View: view, Client: h.key.client, Session: session, Replica: t.s.index, Result: detached(r)})
	return nil
}

package replica

import (
	"context"
	"fmt"

	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/consensus"
	"github.com/pbft-go/pbft/server/execution"
	"github.com/pbft-go/pbft/server/message"
	"github.com/pbft-go/pbft/wire"
)

// backend is the replica as its public port sees it.
type backend Replica

func (b *backend) r() *Replica { return (*Replica)(b) }

// Info tells where the replica stands.
func (b *backend) Info() wire.ServerInfo {
	return wire.ServerInfo{
		Index: b.o.Index, Replicas: len(b.cfg.Nodes), View: b.view.Load(), Cluster: b.cluster,
		ClientWindow: uint64(b.cfg.ClientWindow), MaxGroup: crypto.MaxGroup, MaxGroupBytes: crypto.MaxGroupBytes,
		MaxOperationBytes: b.cfg.MaxOperationBytes(),
		Normal:            message.ReplicaStatus(b.status.Load()) == message.Normal,
	}
}

// Ready is nil while the replica orders requests.
func (b *backend) Ready() error {
	if s := message.ReplicaStatus(b.status.Load()); s != message.Normal {
		why := "it has just started and asks its peers whether it is new"
		if p := b.reason.Load(); p != nil {
			why = *p
		}
		return fmt.Errorf("replica %d is %s: %s", b.o.Index, s, why)
	}
	if up, q := b.r().connected(), consensus.Quorum(len(b.cfg.Nodes)); up < q {
		return fmt.Errorf("replica %d reaches %d of %d replicas, itself included; a quorum is %d", b.o.Index, up, len(b.cfg.Nodes), q)
	}
	return nil
}

// connected is the number of replicas with a link, this one included.
func (r *Replica) connected() int {
	up := 1
	for _, p := range r.transport.Peers() {
		if p.Connected {
			up++
		}
	}
	return up
}

// Submit queues a client's group for the core.
func (b *backend) Submit(g crypto.GroupView, src consensus.Source, admitted func(consensus.Reason)) consensus.Reason {
	if !b.inbox.put(item{
		from: fromClient, bytes: len(g.Raw), admitted: admitted,
		input: consensus.Input{Kind: consensus.InRequest, Group: g, Source: src},
	}) {
		b.events.refuse(consensus.Overloaded)
		return consensus.Overloaded
	}
	return consensus.OK
}

// RelayAll passes a group to every replica, which watch over it.
func (b *backend) RelayAll(g crypto.GroupView) {
	b.Submit(g, consensus.Source{Alone: true, Retry: true}, nil)
}

// FetchReplies asks every replica for the outcome of a request.
func (b *backend) FetchReplies(client string, session, number uint64) {
	r := b.r()
	r.transport.Broadcast(&message.FetchReply{Client: client, Session: session, Number: number})
	r.exec.ask(func(e *execution.Engine) { r.exec.reply(e, r.o.Index, client, session, number) })
}

// Lookup is this replica's own answer to FetchReplies.
func (b *backend) Lookup(ctx context.Context, client string, session, number uint64) (view, realSession uint64, res crypto.Result, err error) {
	type answer struct {
		res  crypto.Result
		real uint64
	}
	a, err := askWait(ctx, b.exec, func(e *execution.Engine) (a answer) {
		a.res, a.real = e.Lookup(client, session, number)
		return a
	})
	return b.view.Load(), a.real, a.res, err
}

// ClientInfo tells where this replica sees the window of a client.
func (b *backend) ClientInfo(ctx context.Context, client string) (low, next, lastExecuted uint64, err error) {
	type answer struct{ low, next, last uint64 }
	a, err := askWait(ctx, b.exec, func(e *execution.Engine) (a answer) {
		a.low, a.next = e.ClientInfo(client)
		a.last = e.LastExecuted()
		return a
	})
	return a.low, a.next, a.last, err
}

// Log shows executed batches.
func (b *backend) Log(ctx context.Context, from uint64, limit int) (*pbftv1.ListLogResponse, error) {
	return askWait(ctx, b.exec, func(e *execution.Engine) *pbftv1.ListLogResponse {
		resp := &pbftv1.ListLogResponse{First: e.HistoryFirst()}
		for _, entry := range e.Log(from, limit) {
			resp.Entries = append(resp.Entries, logEntry(&entry))
		}
		return resp
	})
}

// Dump lists executed requests.
func (b *backend) Dump(ctx context.Context, from uint64, limitBytes int) (*pbftv1.DumpResponse, error) {
	return askWait(ctx, b.exec, func(e *execution.Engine) *pbftv1.DumpResponse {
		entries, next := e.Dump(from, limitBytes)
		resp := &pbftv1.DumpResponse{First: e.HistoryFirst(), Next: next}
		for i := range entries {
			d := &entries[i]
			resp.Entries = append(resp.Entries, &pbftv1.DumpEntry{Client: d.Client, Number: d.Number, Op: d.Op, N: d.N})
		}
		return resp
	})
}

// Complain tells the core that a client asks for a view change.
func (b *backend) Complain() {
	b.complaints.Add(1)
	b.inbox.put(item{from: fromSelf, input: consensus.Input{Kind: consensus.InComplaint}})
}

// inspect runs f on the loop and waits for it.
func (r *Replica) inspect(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if !r.inbox.put(item{from: fromSelf, run: func() { f(); close(done) }}) {
		return errStopping
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-r.halted:
		return errStopping
	}
}

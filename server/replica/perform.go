package replica

import "github.com/pbft-go/pbft/server/consensus"

// perform ends the turn and carries its effects out, in the order of the
// contract, until the core has nothing more to do at once.
func (t *turn) perform() {
	r := t.r
	for {
		t.step(consensus.Input{Kind: consensus.InFlush})
		out := &t.out
		var durable consensus.PersistID
		if out.K != 0 {
			if r.persister.Persist(out.K, out.Records) {
				durable, t.durable = out.K, out.K
			}
		}
		t.send()
		for i := range out.Execs {
			r.exec.execute(out.Execs[i])
		}
		for i := range out.Resends {
			r.exec.resend(out.Resends[i])
		}
		for _, s := range out.Serves {
			r.exec.serve(s)
		}
		if out.Install != nil {
			r.exec.install(*out.Install)
			if r.disk != nil {
				r.disk.w.Behind(out.Install.N())
			}
		}
		for _, a := range out.Admitted {
			if a.Reason != consensus.OK {
				r.events.refuse(a.Reason)
			}
			r.tickets.decide(a)
		}
		r.view.Store(r.core.View()) // before the events, which tell of it
		for i := range out.Events {
			r.events.take(&out.Events[i])
		}
		r.noteHandOver()
		if out.Halt != nil {
			r.halt(out.Halt.Reason)
		}
		out.Reset()
		if durable == 0 {
			return
		}
		t.step(consensus.Input{Kind: consensus.InDurable, K: durable})
	}
}

// send hands over what may leave: promises whose records are durable, in
// order, except votes of a view that was given up.
func (t *turn) send() {
	kept := t.held[:0]
	for _, s := range t.held {
		switch {
		case s.Gen > 0 && s.Gen < t.out.LiveGen:
		case s.After > t.durable:
			kept = append(kept, s)
		default:
			t.r.post(s)
		}
	}
	clear(t.held[len(kept):])
	t.held = kept
	for _, s := range t.out.Sends {
		if s.After > t.durable {
			t.held = append(t.held, s)
		} else {
			t.r.post(s)
		}
	}
}

func (r *Replica) post(s consensus.Send) {
	if lying {
		r.postLies(s)
		return
	}
	if s.To == consensus.Everyone {
		r.transport.Broadcast(s.Msg)
	} else {
		r.transport.Send(peerID(s.To), s.Msg)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
)

// sendMessages is the proof of concept's client.
func (p *program) sendMessages(ctx context.Context, o *messageOptions) error {
	if o.count < 0 {
		return misused{fmt.Errorf("-nm is %d, allowed are 0 and more", o.count)}
	}
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	if c.cfg == nil { // the address to listen at stands there
		if err := c.load(p.options.config); err != nil {
			return err
		}
	}
	if o.id < 0 || o.id >= len(c.cfg.Clients) {
		return misused{outOfRange(o.id, len(c.cfg.Clients), p.options.config)}
	}
	addr := c.cfg.Clients[o.id].Addr()
	m := &messenger{
		p: p, c: c, id: uint64(o.id), client: strconv.Itoa(o.id), url: "http://" + addr + replyPath,
		tally: newTally(c.n(), c.f(), uint64(o.id)),
		http: http.Client{
			Timeout:       c.cfg.NetworkTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	l, err := p.serveReplies(addr, m.tally)
	if err != nil {
		return err
	}
	defer l.close()
	return m.send(ctx, o.count)
}

func outOfRange(id, n int, file string) error {
	if n == 0 {
		return fmt.Errorf("client index %d is out of range: %s has no clients", id, file)
	}
	return fmt.Errorf("client index %d is out of range: %s has clients 0 to %d", id, file, n-1)
}

// messenger sends numbered messages, one at a time.
type messenger struct {
	p      *program
	c      *cluster
	id     uint64
	client string // id as the replicas know it
	url    string // for replies
	tally  *tally
	http   http.Client
}

func (m *messenger) logf(format string, args ...any) {
	fmt.Fprintf(m.p.stderr, "client %s: "+format+"\n", append([]any{m.client}, args...)...)
}

// send sends count messages and waits for f+1 replies to each.
func (m *messenger) send(ctx context.Context, count int) error {
	if count == 0 {
		return nil
	}
	next, err := m.askNextNumber(ctx)
	if err != nil {
		return err
	}
	for i := range uint64(count) {
		number := next + i
		if number < next || number > crypto.MaxNumber {
			return fmt.Errorf("client %s has used up its numbers: the next one is %d, the largest allowed %d", m.client, number, uint64(crypto.MaxNumber))
		}
		if err := m.sendOne(ctx, number); err != nil {
			return err
		}
	}
	return nil
}

// sendOne sends one message until it is answered: first to replica 0, and
// after every retry_times_before_view_change failures to the next one. It gives
// up only if f+1 replicas refuse the message for good.
func (m *messenger) sendOne(ctx context.Context, number uint64) error {
	data := strconv.FormatUint(number, 10)
	agreed := m.tally.start(number, data)
	refusals := map[int]error{}
	target, failures, pause := 0, 0, firstPause
	for {
		word, err := m.try(ctx, target, number, data, agreed)
		if err == nil {
			return m.settle(number, &word)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		m.logf("message %d sent fail: %v", number, err)
		if errors.As(err, &coded{}) {
			if refusals[target] = err; len(refusals) > m.c.f() {
				return err
			}
		}
		if failures++; failures >= m.c.cfg.RetryTimesBeforeViewChange {
			m.complain(ctx)
			failures, target = 0, (target+1)%m.c.n()
		}
		if errors.Is(err, errNoQuorum) {
			pause = firstPause // the time has passed already
			continue
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

var errNoQuorum = errors.New("no quorum")

// try sends the message once and waits for the replies.
func (m *messenger) try(ctx context.Context, target int, number uint64, data string, agreed <-chan word) (word, error) {
	if err := m.order(ctx, target, number, data); err != nil {
		select {
		case w := <-agreed: // replies to an earlier try
			return w, nil
		default:
			return word{}, err
		}
	}
	t := time.NewTimer(m.c.cfg.NetworkTimeout)
	defer t.Stop()
	select {
	case w := <-agreed:
		return w, nil
	case <-ctx.Done():
		return word{}, context.Cause(ctx)
	case <-t.C:
		return word{}, fmt.Errorf("%w: no %d equal replies within %v", errNoQuorum, m.c.f()+1, m.c.cfg.NetworkTimeout)
	}
}

// settle tells what f+1 replicas said.
func (m *messenger) settle(number uint64, w *word) error {
	switch w.status {
	case "EXPIRED":
		return fmt.Errorf("message %d of client %s: %w", number, m.client, pbftclient.ErrExpired)
	case "REJECTED":
		return fmt.Errorf("message %d of client %s: %w", number, m.client, pbftclient.ErrNumberReused)
	}
	m.logf("message %d sent successfully", number)
	return nil
}

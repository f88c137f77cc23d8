package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
)

func (p *program) outcomeCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "outcome CLIENT NUMBER",
		Short: "Tell what became of a request",
		Long: `outcome asks all replicas what became of request NUMBER of a client, and prints
what f+1 of them agree on: its status, the number n of the batch that executed
it, and its result (result_base64 where it is no UTF-8). It orders nothing.

Exit codes: 0 executed, 7 not executed, 4 no f+1 replicas agree within the
timeout; the others as "client --help" has them.`,
		Args: numArgs(2, 2, "a client id and a number"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.outcome(cmd.Context(), args[0], args[1], timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the replicas, `DURATION`")
	return cmd
}

func (p *program) outcome(ctx context.Context, id, text string, timeout time.Duration) error {
	if err := crypto.CheckClient(id); err != nil {
		return misused{err}
	}
	number, err := parseNumber(text)
	if err != nil {
		return misused{err}
	}
	if err := checkTimeout(timeout); err != nil {
		return misused{err}
	}
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	s, end, err := c.session(id)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o, err := s.Outcome(ctx, number)
	if err != nil {
		return err
	}
	if err := p.print(describeOutcome(&o)); err != nil {
		return err
	}
	if !o.Executed {
		return coded{fmt.Errorf("request %d of client %q was not executed", number, id), exitNotExecuted}
	}
	return nil
}

func describeOutcome(o *pbftclient.Outcome) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "status: %s\n", o.Status)
	if !o.Executed {
		return b.Bytes()
	}
	fmt.Fprintf(&b, "n: %d\n", o.N)
	switch {
	case o.Gone:
		fmt.Fprintln(&b, "result: not kept any more")
	case utf8.Valid(o.Value):
		fmt.Fprintf(&b, "result: %s\n", o.Value)
	default:
		fmt.Fprintf(&b, "result_base64: %s\n", base64.StdEncoding.EncodeToString(o.Value))
	}
	return b.Bytes()
}

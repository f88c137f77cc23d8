package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/crypto"
)

// maxStdin bounds what is read as one operation, in bytes. The cluster allows
// less and says how much.
const maxStdin = 64 << 20

// submitOptions are the flags of submit.
type submitOptions struct {
	client      string
	number      uint64
	numberGiven bool
	timeout     time.Duration
}

func (p *program) submitCommand() *cobra.Command {
	var o submitOptions
	cmd := &cobra.Command{
		Use:   "submit [OP]",
		Short: "Order one operation and print its result",
		Long: `submit orders the operation OP, or standard input as it is (newlines included)
if OP is - or missing, and prints the result that f+1 replicas agree on.

Exit codes: 0 executed, 3 refused, 4 outcome unknown, 5 expired, 6 number
used before; the others as "client --help" has them.`,
		Args: numArgs(0, 1, "one operation, quoted if it has spaces"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.numberGiven = cmd.Flags().Changed("number")
			return p.submit(cmd.Context(), &o, args)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.client, "client", "", "client `ID` (default: drawn at random)")
	fs.Uint64Var(&o.number, "number", 0, "`NUMBER` of the request, used once by this client (default: the clock)")
	fs.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long to wait for the result, `DURATION`")
	return cmd
}

// check looks at what needs no cluster.
func (o *submitOptions) check() error {
	if o.client != "" {
		if err := crypto.CheckClient(o.client); err != nil {
			return fmt.Errorf("--client: %w", err)
		}
	}
	if !o.numberGiven {
		o.number = uint64(time.Now().UnixMicro())
	}
	if err := checkNumber(o.number); err != nil {
		return fmt.Errorf("--number: %w", err)
	}
	return checkTimeout(o.timeout)
}

func checkNumber(x uint64) error {
	if x > crypto.MaxNumber {
		return fmt.Errorf("%d is too large, allowed are 0 to %d", x, uint64(crypto.MaxNumber))
	}
	return nil
}

func checkTimeout(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--timeout is %v, allowed is more than 0", d)
	}
	return nil
}

func (p *program) submit(ctx context.Context, o *submitOptions, args []string) error {
	if err := o.check(); err != nil {
		return misused{err}
	}
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	op, err := p.operation(ctx, args)
	if err != nil {
		return err
	}
	s, end, err := c.session(o.client)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	r, err := s.SubmitNumber(ctx, o.number, op)
	if errors.Is(err, pbftclient.ErrOutcomeUnknown) {
		return fmt.Errorf("%w\n\"client outcome %s %d\" asks what became of it", err, s.ID(), o.number)
	}
	if err != nil {
		return err
	}
	if r.Gone {
		return fmt.Errorf("request %d of client %q was executed as part of batch %d, but its result is not kept any more", o.number, s.ID(), r.N)
	}
	return p.print(append(bytes.Clone(r.Value), '\n'))
}

// operation is the argument, or else standard input.
func (p *program) operation(ctx context.Context, args []string) ([]byte, error) {
	if len(args) == 1 && args[0] != "-" {
		return []byte(args[0]), nil
	}
	type input struct {
		op  []byte
		err error
	}
	got := make(chan input, 1)
	go func() { // a signal must not wait for a line to be typed
		op, err := io.ReadAll(io.LimitReader(p.stdin, maxStdin+1))
		got <- input{op, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case in := <-got:
		if in.err != nil {
			return nil, fmt.Errorf("standard input: %w", in.err)
		}
		if len(in.op) > maxStdin {
			return nil, coded{fmt.Errorf("standard input has more than %d bytes, the most that is read as one operation", maxStdin), exitRefused}
		}
		return in.op, nil
	}
}

// print writes to standard output.
func (p *program) print(b []byte) error {
	if _, err := p.stdout.Write(b); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// parseNumber reads the number of a request.
func parseNumber(s string) (uint64, error) {
	x, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %q: allowed are 0 to %d", s, uint64(crypto.MaxNumber))
	}
	return x, checkNumber(x)
}

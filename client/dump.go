package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
)

func (p *program) dumpCommand() *cobra.Command {
	var replica int
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Print what was ordered, as one line of JSON",
		Long: `dump prints every executed request that a replica still holds, in order, as the
proof of concept wrote its dump files: [[[client, number], "data"], …]. Client
ids that are no numbers are strings; data that is no UTF-8 is
{"base64": "…"}. If the history does not begin at batch 1 any more, standard
error says where it does. One replica is asked, and believed.`,
		Args: numArgs(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.dump(cmd.Context(), replica, cmd.Flags().Changed("replica"))
		},
	}
	cmd.Flags().IntVar(&replica, "replica", 0, "which replica to ask, `INDEX` from 0 (default: the first that answers)")
	return cmd
}

func (p *program) dump(ctx context.Context, replica int, given bool) error {
	c, err := p.options.cluster()
	if err != nil {
		return err
	}
	if replica < 0 || replica >= c.n() {
		return misused{fmt.Errorf("--replica is %d, there are replicas 0 to %d", replica, c.n()-1)}
	}
	all, err := c.dial()
	if err != nil {
		return err
	}
	defer all.close()
	if given {
		return p.dumpOf(ctx, c, replica, all[replica])
	}
	var errs []error
	for i, g := range all {
		err := p.dumpOf(ctx, c, i, g)
		if !errors.As(err, &noAnswer{}) || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// noAnswer is the error of a replica that said nothing at all.
type noAnswer struct{ error }

func (n noAnswer) Unwrap() error { return n.error }

func dumpFrom(from uint64) func(context.Context, grpc.ClientConnInterface) (*pbftv1.DumpResponse, error) {
	return func(ctx context.Context, g grpc.ClientConnInterface) (*pbftv1.DumpResponse, error) {
		return pbftv1.NewAdminServiceClient(g).Dump(ctx, &pbftv1.DumpRequest{From: from})
	}
}

// dumpOf prints page by page.
func (p *program) dumpOf(ctx context.Context, c *cluster, i int, g grpc.ClientConnInterface) error {
	page, err := askOne(ctx, g, askTimeout, dumpFrom(0))
	if err != nil {
		return noAnswer{fmt.Errorf("replica %d at %s: %w", i, c.addrs[i], err)}
	}
	if first := page.GetFirst(); first > 1 {
		fmt.Fprintf(p.stderr, "client: replica %d holds batches from %d on, not from 1\n", i, first)
	}
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	_, _ = out.WriteString("[") // Flush tells
	line := []byte(nil)
	for started := false; ; {
		for _, e := range page.GetEntries() {
			line = line[:0]
			if started {
				line = append(line, ", "...)
			}
			started = true
			_, _ = out.Write(wire.AppendDumpEntry(line, e.GetClient(), e.GetNumber(), e.GetOp()))
		}
		next := page.GetNext()
		if next == 0 {
			break
		}
		if page, err = askOne(ctx, g, askTimeout, dumpFrom(next)); err != nil {
			return fmt.Errorf("replica %d at %s, batches from %d on: %w", i, c.addrs[i], next, err)
		}
		if after := page.GetNext(); after != 0 && after <= next {
			return fmt.Errorf("replica %d at %s goes on from batch %d behind batch %d, so its dump has no end", i, c.addrs[i], after, next)
		}
		if first := page.GetFirst(); first > next {
			fmt.Fprintf(p.stderr, "client: replica %d dropped batches %d to %d meanwhile: they are missing\n", i, next, first-1)
		}
	}
	_, _ = out.WriteString("]\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pbft-go/pbft/server/replica"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Examine a data directory and print what it holds",
		Long: `check examines the data directory of a replica that does not run, such as
data/0: every record of its log, every key of its state, and the digests over
them. It changes nothing. Exit codes: 0 whole, 1 damaged or in use.`,
		Args: oneDirectory,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := replica.Check(args[0], p.stdout); err != nil {
				return failed{err}
			}
			return nil
		},
	}
}

func (p *program) dumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dump DIR",
		Short: "Print the history in a data directory, as one line of JSON",
		Long: `dump prints every executed request that the data directory of a replica holds,
in order, as "client dump" does with a replica that runs:
[[[client, number], "data"], …]. It changes nothing.`,
		Args: oneDirectory,
		RunE: func(_ *cobra.Command, args []string) error {
			first, err := replica.Dump(args[0], p.stdout)
			if err != nil {
				return failed{err}
			}
			if first > 1 {
				fmt.Fprintf(p.stderr, "server: the first request is of batch %d, not of batch 1\n", first)
			}
			return nil
		},
	}
}

func oneDirectory(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return misused{fmt.Errorf("%s takes one directory, not %d", cmd.Name(), len(args))}
	}
	return nil
}

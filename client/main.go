// Command client orders operations on a PBFT cluster, shows what the cluster
// does, and measures it. With -id and -nm it is the client of the proof of
// concept.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, signals: signals, listen: net.Listen}
	os.Exit(p.main(os.Args[1:]))
}

// program is what a run of the command line touches of the world.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	listen         func(network, addr string) (net.Listener, error)

	options options // of every command
}

// main runs one command line and returns the exit code.
func (p *program) main(args []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		select {
		case s := <-p.signals:
			cancel(signalled{s})
		case <-ctx.Done():
		}
	}()
	cmd := p.command()
	cmd.SetArgs(rewriteArgs(args))
	cmd.SetIn(p.stdin)
	cmd.SetOut(p.stdout)
	cmd.SetErr(p.stderr)
	err := cmd.ExecuteContext(ctx)
	code := exitCode(ctx, err)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(p.stderr, "client: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	if errors.As(err, &misused{}) {
		fmt.Fprintln(p.stderr, "client --help shows what is possible")
	}
	return code
}

const longHelp = `client orders operations on the cluster that FILE describes.

Without a command, and with -id, it is the client of the proof of concept: it
listens for replies at entry ID of the configuration's clients, sends COUNT
messages one after the other to POST /request, each with its own number as
data, and ends when f+1 replicas have replied to every one of them. Whoever
reaches its port can pose as a replica; the commands below have no such port.

Exit codes:
  0    done
  1    failed: no connection, a port in use, fewer than a quorum answer
  2    the command line or the configuration is wrong
  3    the request was refused for good
  4    the outcome is unknown: the request may have been executed, or may be yet
  5    the number lies below the client's window
  6    the number was used by another request
  7    the request asked for was not executed
  130  SIGINT (143: SIGTERM)`

const examples = `  client submit 'put colour green'     order one operation and print its result
  client status                        a table of all replicas
  client dump                          what was ordered, as one line of JSON
  client bench --outstanding 1000      how fast the cluster is
  client -id 0 -nm 5                   as the proof of concept`

func (p *program) command() *cobra.Command {
	var m messageOptions
	cmd := &cobra.Command{
		Use:               "client (-id ID [-nm COUNT] | COMMAND) [-c FILE]",
		Short:             "Order operations on a PBFT cluster",
		Long:              longHelp,
		Example:           examples,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused{fmt.Errorf("unknown command %q, there are submit, outcome, status, dump and bench", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("client_id") {
				return misused{errors.New("which client? Give -id ID to send messages as that client of the configuration, or a command")}
			}
			return p.sendMessages(cmd.Context(), &m)
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused{err} })
	m.define(cmd.Flags())
	p.options.define(cmd.PersistentFlags())
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		p.options.configGiven = cmd.Flags().Changed("config")
		return nil
	}
	cmd.AddCommand(p.submitCommand(), p.outcomeCommand(), p.statusCommand(), p.dumpCommand(), p.benchCommand())
	return cmd
}

// numArgs checks how many arguments a command has.
func numArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return misused{fmt.Errorf("%s takes %s, not %d arguments", cmd.Name(), what, n)}
		}
		return nil
	}
}

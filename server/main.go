// Command server runs one replica of a PBFT cluster, or all replicas of a
// configuration file in one process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pbft-go/pbft/server/replica"
)

// Exit codes; the help text lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	p := &program{
		stdout: os.Stdout, stderr: os.Stderr, signals: signals, exit: os.Exit,
		start: func(o replica.Options) (runner, error) { return replica.New(o) },
	}
	os.Exit(p.main(os.Args[1:]))
}

// program is what a run of the command line touches of the world.
type program struct {
	stdout, stderr io.Writer
	signals        <-chan os.Signal
	exit           func(code int) // at the second signal
	start          func(replica.Options) (runner, error)
}

// failed is an error that is neither the caller's nor the configuration's.
type failed struct{ error }

func (f failed) Unwrap() error { return f.error }

// misused is a command line that asks for nothing sensible.
type misused struct{ error }

func (m misused) Unwrap() error { return m.error }

// main runs one command line and returns the exit code.
func (p *program) main(args []string) int {
	cmd := p.command()
	cmd.SetArgs(rewriteArgs(args))
	cmd.SetOut(p.stdout)
	cmd.SetErr(p.stderr)
	err := cmd.Execute()
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(p.stderr, "server: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, &misused{}) {
		fmt.Fprintln(p.stderr, "server --help shows what is possible")
	}
	if errors.As(err, &failed{}) {
		return exitFailed
	}
	return exitUsage
}

const longHelp = `server runs replica INDEX of the cluster that FILE describes, or all of its
replicas in one process (--all), which is enough to try things out. It stays
until SIGINT or SIGTERM.

Exit codes:
  0    stopped by SIGINT or SIGTERM
  1    a port or data directory was in use, or a replica had to halt
  2    the command line or the configuration is wrong
  130  a second signal came before the stop was complete`

const examples = `  server --all                 every replica of pbft.yaml
  server -i 0 -c pbft.yaml     one of them
  server -i 0 -lf True         log to log_0 in this directory
  server check data/0          examine a data directory
  server config pbft.yaml      check a configuration and print what takes effect`

func (p *program) command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:               "server (-i INDEX | --all) [-c FILE]",
		Short:             "Run replicas of a PBFT cluster",
		Long:              longHelp,
		Example:           examples,
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused{fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.indexGiven = cmd.Flags().Changed("index")
			o.levelGiven = cmd.Flags().Changed("log-level")
			return p.serve(&o)
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused{err} })
	o.define(cmd.Flags())
	cmd.AddCommand(p.configCommand(), p.checkCommand(), p.dumpCommand())
	return cmd
}

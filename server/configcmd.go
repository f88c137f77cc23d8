package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pbft-go/pbft/config"
)

func (p *program) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config [FILE]",
		Short: "Check a configuration and print what takes effect",
		Long: `config checks FILE (default: ` + defaultConfig + `) and prints the configuration that takes
effect as YAML: every default, the cluster id, how many replicas may be faulty,
and the digest of what all replicas must agree on. The output is a valid
configuration file. Exit codes: 0 valid, 2 not.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misused{fmt.Errorf("config takes one file, not %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			file := defaultConfig
			if len(args) > 0 {
				file = args[0]
			}
			return p.printConfig(file)
		},
	}
}

func (p *program) printConfig(file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	out, err := cfg.YAML()
	if err != nil {
		return failed{err}
	}
	var b strings.Builder
	for _, note := range cfg.Notes {
		fmt.Fprintf(&b, "# note: %s\n", note)
	}
	if err := cfg.CheckAddresses(false); err != nil {
		fmt.Fprintf(&b, "# refused without --insecure: %v\n", err)
	}
	b.Write(out)
	if _, err := fmt.Fprint(p.stdout, b.String()); err != nil {
		return failed{err}
	}
	return nil
}

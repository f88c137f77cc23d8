package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// options are the flags of the root command.
type options struct {
	index      int
	indexGiven bool
	all        bool
	config     string
	insecure   bool
	gomaxprocs int
	pprof      string

	logToFile  oldBool
	logFormat  string
	logLevel   string
	levelGiven bool
}

func (o *options) define(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.IntVarP(&o.index, "index", "i", 0, "which entry of the configuration's nodes to be: `INDEX` from 0")
	fs.BoolVar(&o.all, "all", false, "run every replica of the configuration in this process")
	fs.StringVarP(&o.config, "config", "c", defaultConfig, "configuration `FILE`")
	fs.Var(&o.logToFile, "log_to_file", "`True` or False, also as -lf: log to log_<index> in this directory, at level debug")
	fs.StringVar(&o.logFormat, "log-format", "text", "text or json")
	fs.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&o.pprof, "pprof", "", "serve profiles over HTTP at this `ADDRESS`; a port alone is one of 127.0.0.1")
	fs.BoolVar(&o.insecure, "insecure", false, "allow addresses outside this machine although replicas have no keys yet")
	fs.IntVar(&o.gomaxprocs, "gomaxprocs", 0, "how many threads run Go code at once, `N` (default: as many as there are CPUs)")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "log-to-file" {
			name = "log_to_file"
		}
		return pflag.NormalizedName(name)
	})
}

// defaultConfig is the configuration file where none is named.
const defaultConfig = "pbft.yaml"

// oldFlags are flags of the proof of concept that a GNU command line would
// take for several flags of one letter.
var oldFlags = map[string]string{"-lf": "--log_to_file"}

// rewriteArgs spells old flags as new ones.
func rewriteArgs(args []string) []string {
	out := make([]string, 0, len(args))
	for i, a := range args {
		if a == "--" {
			return append(out, args[i:]...)
		}
		old, value, hasValue := strings.Cut(a, "=")
		if long, ok := oldFlags[old]; ok {
			a = long
			if hasValue {
				a += "=" + value
			}
		}
		out = append(out, a)
	}
	return out
}

// oldBool is a flag with a truth value behind it, in the spellings of the
// proof of concept. Unlike there, False means false.
type oldBool bool

// Set implements pflag.Value.
func (b *oldBool) Set(s string) error {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "on":
		*b = true
	case "false", "0", "no", "off", "":
		*b = false
	default:
		return fmt.Errorf("allowed are True and False")
	}
	return nil
}

// String implements pflag.Value.
func (b *oldBool) String() string { return strconv.FormatBool(bool(*b)) }

// Type implements pflag.Value; the help text shows it.
func (b *oldBool) Type() string { return "bool" }

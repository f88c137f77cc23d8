package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// defaultConfig is the configuration file where none is named.
const defaultConfig = "pbft.yaml"

// options are the flags of every command.
type options struct {
	config      string
	configGiven bool
	replicas    []string
}

func (o *options) define(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVarP(&o.config, "config", "c", defaultConfig, "configuration `FILE`")
	fs.StringSliceVar(&o.replicas, "replicas", nil, "public addresses of all replicas by index, `HOST:PORT,…`, instead of the configuration's")
}

// messageOptions are the flags of the proof of concept.
type messageOptions struct {
	id    int
	count int
}

func (m *messageOptions) define(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.IntVar(&m.id, "client_id", 0, "also -id: which entry of the configuration's clients to be, `ID` from 0")
	fs.IntVar(&m.count, "num_messages", 10, "also -nm: how many messages to send, `COUNT`")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "client-id", "num-messages":
			name = strings.ReplaceAll(name, "-", "_")
		}
		return pflag.NormalizedName(name)
	})
}

// oldFlags are flags of the proof of concept that a GNU command line would
// take for several flags of one letter.
var oldFlags = map[string]string{"-id": "--client_id", "-nm": "--num_messages"}

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

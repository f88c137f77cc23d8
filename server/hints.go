package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/pbft-go/pbft/config"
)

// printHints says what to type next.
func printHints(w io.Writer, cfg *config.Config, file string) {
	write, read := "hello", "hello again"
	if cfg.StateMachine == "kv" {
		write, read = "put greeting hello", "get greeting"
	}
	addr := cfg.Nodes[0].Addr()
	client := "go run ./client"
	if file != defaultConfig {
		client += " -c " + quote(file)
	}
	noun := "replicas run"
	if len(cfg.Nodes) == 1 {
		noun = "replica runs"
	}
	fmt.Fprintf(w, "%d %s in this process; %d may be faulty. %s\nType in another terminal:\n\n", len(cfg.Nodes), noun, cfg.F(), whereTo(cfg))
	fmt.Fprintf(w, "  curl --data '{\"id\":[7,0],\"data\":\"%s\"}' http://%s/request\n", write, addr)
	fmt.Fprintf(w, "  grpcurl -plaintext -d '{\"client\":\"me\",\"number\":0,\"op\":\"%s\"}' %s pbft.v1.ClientService/Submit\n",
		base64.StdEncoding.EncodeToString([]byte(read)), addr)
	switch {
	case cfg.StateMachine == "kv":
		fmt.Fprintf(w, "  %s submit '%s'\n", client, read)
	case len(cfg.Clients) > 0:
		fmt.Fprintf(w, "  %s -id 0 -nm 5\n", client)
	}
	fmt.Fprint(w, "\nStop with ctrl-c.\n")
}

// whereTo says what is left when the process has ended.
func whereTo(cfg *config.Config) string {
	if cfg.Durability == config.Memory {
		return "Nothing is kept on disk."
	}
	return "What they order is kept in " + quote(cfg.DataDir) + "."
}

// quote makes s one word of a shell.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

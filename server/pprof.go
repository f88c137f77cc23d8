package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"
)

// servePprof serves profiles at addr until stop is called.
func servePprof(addr string, log *slog.Logger) (stop func(), err error) {
	addr, err = pprofAddr(addr)
	if err != nil {
		return nil, misused{err}
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, failed{fmt.Errorf("--pprof: %w: choose another address", err)}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(ln) //nolint:errcheck // ends with an error always, at the stop
	log.Info("profiles are served", "url", "http://"+ln.Addr().String()+"/debug/pprof/")
	return func() { _ = server.Close() }, nil
}

// pprofAddr completes an address: profiles show memory, so they stay on this
// machine unless a host is named.
func pprofAddr(s string) (string, error) {
	if !strings.Contains(s, ":") {
		s = ":" + s
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || port == "" {
		return "", fmt.Errorf("--pprof is %q, allowed are PORT and HOST:PORT", s)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of the listener for replies.
const (
	replyPath     = "/reply"
	maxReplyBody  = 1 << 20 // bytes; the operations sent are short, and so are their results
	replyTimeout  = 10 * time.Second
	replyIdle     = 30 * time.Second
	maxReplyHead  = 16 << 10
	maxReplyConns = 64 // at once; more wait to be accepted
)

// listener takes replies by HTTP.
type listener struct {
	server http.Server
	done   chan struct{}
}

// serveReplies opens the port and serves POST /reply on it.
func (p *program) serveReplies(addr string, t *tally) (*listener, error) {
	ln, err := p.listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("port for replies: %w (is this client running already? its port stands under clients in the configuration)", err)
	}
	l := &listener{done: make(chan struct{})}
	l.server = http.Server{
		Handler: replyHandler(t), ReadHeaderTimeout: replyTimeout, ReadTimeout: replyTimeout,
		WriteTimeout: replyTimeout, IdleTimeout: replyIdle, MaxHeaderBytes: maxReplyHead,
		ErrorLog: log.New(io.Discard, "", 0), // of strangers' connections
	}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(netutil.LimitListener(ln, maxReplyConns)) // ends by close
	}()
	return l, nil
}

func (l *listener) close() {
	_ = l.server.Close()
	<-l.done
}

// replyHandler answers a reply with an empty 200, as the proof of concept did,
// and everything else with what is wrong with it.
func replyHandler(t *tally) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != replyPath {
			http.Error(w, fmt.Sprintf("path %q: only %s is served here", r.URL.Path, replyPath), http.StatusNotFound)
			return
		}
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, fmt.Sprintf("method %s: only POST is allowed", r.Method), http.StatusMethodNotAllowed)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReplyBody))
		if err != nil {
			code := http.StatusBadRequest
			if errors.As(err, new(*http.MaxBytesError)) {
				code = http.StatusRequestEntityTooLarge
			}
			http.Error(w, fmt.Sprintf("body: %v, at most %d bytes are read", err, maxReplyBody), code)
			return
		}
		said, err := parseReply(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		t.add(said)
	})
}

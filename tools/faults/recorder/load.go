//go:build ignore

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/config"
)

const (
	loaders = 4   // clients of -load
	flight  = 512 // operations that each has in flight
)

// load puts the keys k0, k1, ..., with leading zeros, once each.
func load(ctx context.Context, o *options, c *config.Config) error {
	client, err := pbftclient.New(pbftclient.FromConfig(c))
	if err != nil {
		return err
	}
	defer client.Close()
	errs := make(chan error, loaders)
	for i := range loaders {
		s, err := client.Session("load-" + strconv.Itoa(i))
		if err != nil {
			return err
		}
		go func() { errs <- loadEvery(ctx, s, i, o) }()
	}
	for range loaders {
		if e := <-errs; err == nil {
			err = e
		}
	}
	return err
}

// loadEvery puts the keys of one of the clients.
func loadEvery(ctx context.Context, s *pbftclient.Session, from int, o *options) error {
	digits := len(strconv.Itoa(o.load - 1))
	padding := strings.Repeat("x", o.size)
	idle := make(chan *pbftclient.Call, flight)
	for range flight {
		idle <- &pbftclient.Call{Done: func(call *pbftclient.Call) { idle <- call }}
	}
	for i := from; i < o.load; i += loaders {
		call := <-idle
		if call.Err != nil {
			return call.Err
		}
		call.Op = fmt.Appendf(call.Op[:0], "put k%0*d ", digits, i)
		call.Op = append(call.Op, padding[min(len(call.Op), len(padding)):]...)
		s.Start(ctx, call)
	}
	for range flight {
		if call := <-idle; call.Err != nil {
			return call.Err
		}
	}
	return nil
}

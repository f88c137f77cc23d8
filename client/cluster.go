package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pbft-go/pbft/client/pbftclient"
	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	"github.com/pbft-go/pbft/wire"
)

// maxMessage is the largest answer that is read, in bytes. A page of a dump
// holds at most 1 MiB and the batch behind it.
const maxMessage = 16 << 20

// askTimeout bounds one question to one replica.
const askTimeout = 5 * time.Second

// cluster is what the command line knows of the cluster.
type cluster struct {
	addrs []string       // public ports, by index
	cfg   *config.Config // nil if --replicas makes it needless
}

func (c *cluster) n() int { return len(c.addrs) }
func (c *cluster) f() int { return (len(c.addrs) - 1) / 3 }

// clientOptions are those of a pbftclient.
func (c *cluster) clientOptions() pbftclient.Options {
	if c.cfg == nil {
		return pbftclient.Options{Replicas: c.addrs}
	}
	o := pbftclient.FromConfig(c.cfg)
	o.Replicas = c.addrs
	return o
}

// session connects to the cluster as one client; end disconnects. An empty id
// is drawn at random.
func (c *cluster) session(id string) (s *pbftclient.Session, end func(), err error) {
	o := c.clientOptions()
	o.ClientID = id
	client, err := pbftclient.New(o)
	if err != nil {
		return nil, nil, err
	}
	end = func() { _ = client.Close() }
	if s, err = client.Session(client.ID()); err != nil {
		end()
		return nil, nil, err
	}
	return s, end, nil
}

// clusterID is the cluster's, nil if no configuration tells.
func (c *cluster) clusterID() *crypto.ClusterID {
	if c.cfg == nil {
		return nil
	}
	return &c.cfg.ClusterID
}

// cluster finds the replicas. The configuration is read if it is named, or if
// --replicas is not.
func (o *options) cluster() (*cluster, error) {
	c := &cluster{addrs: o.replicas}
	if o.replicas != nil {
		if err := checkReplicas(o.replicas); err != nil {
			return nil, misused{err}
		}
	}
	if o.replicas != nil && !o.configGiven {
		return c, nil
	}
	return c, c.load(o.config)
}

// load reads the configuration, whose addresses --replicas may replace.
func (c *cluster) load(file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return badConfig{err}
	}
	c.cfg = cfg
	if c.addrs == nil {
		for _, n := range cfg.Nodes {
			c.addrs = append(c.addrs, n.Addr())
		}
	}
	if len(c.addrs) != len(cfg.Nodes) {
		return misused{fmt.Errorf("--replicas names %d addresses, %s has %d nodes: name one for each", len(c.addrs), file, len(cfg.Nodes))}
	}
	return nil
}

func checkReplicas(addrs []string) error {
	if n := len(addrs); n != 1 && n < 4 || n > config.MaxNodes {
		return fmt.Errorf("--replicas names %d addresses, allowed are 1 and 4 to %d: all replicas, by index", n, config.MaxNodes)
	}
	seen := map[string]int{}
	for i, a := range addrs {
		host, port, err := net.SplitHostPort(a)
		if p, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || p == 0 {
			return fmt.Errorf("--replicas: address %d is %q, allowed is HOST:PORT with a port of 1 to 65535", i, a)
		}
		if j, twice := seen[a]; twice {
			return fmt.Errorf("--replicas: %s stands for replica %d and for replica %d", a, j, i)
		}
		seen[a] = i
	}
	return nil
}

// conns are connections to all replicas, by index.
type conns []*grpc.ClientConn

func (c *cluster) dial() (conns, error) {
	var all conns
	options := append(wire.DialOptions(maxMessage), grpc.WithTransportCredentials(insecure.NewCredentials()))
	for i, a := range c.addrs {
		g, err := grpc.NewClient("passthrough:///"+a, options...)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("replica %d at %s: %w", i, a, err)
		}
		all = append(all, g)
	}
	return all, nil
}

func (all conns) close() {
	for _, g := range all {
		_ = g.Close()
	}
}

// answer is what one replica said.
type answer[T any] struct {
	value T
	err   error
}

// askAll asks every replica at once, each for at most timeout.
func askAll[T any](ctx context.Context, all conns, timeout time.Duration, ask func(context.Context, grpc.ClientConnInterface) (T, error)) []answer[T] {
	answers := make([]answer[T], len(all))
	var wg sync.WaitGroup
	for i, g := range all {
		wg.Go(func() { answers[i].value, answers[i].err = askOne(ctx, g, timeout, ask) })
	}
	wg.Wait()
	return answers
}

func askOne[T any](ctx context.Context, g grpc.ClientConnInterface, timeout time.Duration, ask func(context.Context, grpc.ClientConnInterface) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v, err := ask(ctx, g)
	if err != nil && ctx.Err() == nil {
		return v, errors.New(short(err))
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return v, fmt.Errorf("no answer within %v", timeout)
	}
	return v, err
}

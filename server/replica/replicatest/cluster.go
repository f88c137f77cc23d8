// Package replicatest runs whole clusters inside a test: real replicas, real
// sockets on 127.0.0.1, ports from the kernel.
package replicatest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pbft-go/pbft/config"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/server/replica"
)

// Cluster is a running cluster. Stop or the end of the test stops it.
type Cluster struct {
	Config *config.Config // its ports are those in use
	t      testing.TB
	nodes  []*node
	peers  []string // addresses of the peer ports
}

type node struct {
	stop   context.CancelFunc
	done   chan struct{}
	err    error
	client *grpc.ClientConn
	once   sync.Once
}

// Start starts n replicas and waits until all of them take part. extra is
// appended to the configuration, as YAML.
func Start(t testing.TB, n int, extra string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	var public, peer []net.Listener
	var nodes strings.Builder
	nodes.WriteString("nodes:\n")
	for range n {
		a, b := listen(t), listen(t)
		public, peer = append(public, a), append(peer, b)
		c.peers = append(c.peers, b.Addr().String())
		fmt.Fprintf(&nodes, "  - {host: 127.0.0.1, port: %d, peer_port: %d}\n", port(a), port(b))
	}
	var err error
	if c.Config, err = config.Parse("test", []byte(nodes.String()+extra)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(extra, "durability:") {
		c.Config.Durability = config.Memory // quicker, and what most tests are not about
	}
	c.Config.DataDir = t.TempDir()
	for i := range n {
		c.nodes = append(c.nodes, c.run(i, public[i], peer[i]))
	}
	t.Cleanup(c.Stop)
	for i := range n {
		c.WaitReady(i)
	}
	return c
}

func listen(t testing.TB) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func port(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

func (c *Cluster) run(i int, public, peer net.Listener) *node {
	logger := slog.New(slog.NewTextHandler(testWriter{c.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r, err := replica.New(replica.Options{
		Config: c.Config, Index: i, Logger: logger.With("replica", i), Version: "test",
		PublicListener: public, PeerListener: peer, PeerAddrs: c.peers,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(n.done)
		n.err = r.Run(ctx)
	}()
	return n
}

// RestartAll stops all replicas, and starts them again. It waits until all of them
// take part.
func (c *Cluster) RestartAll() {
	c.Stop()
	for i := range c.nodes {
		c.Restart(i)
	}
	for i := range c.nodes {
		c.WaitReady(i)
	}
}

// Restart starts a stopped replica again, with what its disk has; with
// durability memory that is nothing.
func (c *Cluster) Restart(i int) {
	public, err := net.Listen("tcp", c.Addr(i))
	if err != nil {
		c.t.Fatal(err)
	}
	peer, err := net.Listen("tcp", c.peers[i])
	if err != nil {
		c.t.Fatal(err)
	}
	if old := c.nodes[i].client; old != nil {
		_ = old.Close()
	}
	c.nodes[i] = c.run(i, public, peer)
}

// Conn is a gRPC connection to replica i.
func (c *Cluster) Conn(i int) *grpc.ClientConn {
	n := c.nodes[i]
	n.once.Do(func() {
		var err error
		if n.client, err = grpc.NewClient(c.Addr(i), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
			c.t.Fatal(err)
		}
	})
	return n.client
}

// WaitReady follows the health service until it says SERVING.
func (c *Cluster) WaitReady(i int) {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	w, err := healthv1.NewHealthClient(c.Conn(i)).Watch(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	for err == nil {
		var r *healthv1.HealthCheckResponse
		if r, err = w.Recv(); err == nil && r.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return
		}
	}
	c.t.Fatalf("replica %d does not become ready: %v", i, err)
}

// Addr is the public address of replica i, URL the same for HTTP.
func (c *Cluster) Addr(i int) string { return c.Config.Nodes[i].Addr() }

// URL is a URL at replica i.
func (c *Cluster) URL(i int, path string) string { return "http://" + c.Addr(i) + path }

// StopReplica stops one replica for good.
func (c *Cluster) StopReplica(i int) {
	n := c.nodes[i]
	n.stop()
	<-n.done
	if n.err != nil {
		c.t.Errorf("replica %d stopped with %v", i, n.err)
	}
}

// Stop stops all replicas.
func (c *Cluster) Stop() {
	var wg sync.WaitGroup
	for i, n := range c.nodes {
		wg.Go(func() {
			if n.client != nil {
				_ = n.client.Close()
			}
			c.StopReplica(i)
		})
	}
	wg.Wait()
}

// Status asks replica i for its status.
func (c *Cluster) Status(i int) *pbftv1.GetStatusResponse {
	s, err := pbftv1.NewAdminServiceClient(c.Conn(i)).GetStatus(c.t.Context(), &pbftv1.GetStatusRequest{})
	if err != nil {
		c.t.Fatalf("status of replica %d: %v", i, err)
	}
	return s
}

// Dump lists everything that replica i executed, from sequence number 1.
func (c *Cluster) Dump(i int) (all []*pbftv1.DumpEntry) {
	a := pbftv1.NewAdminServiceClient(c.Conn(i))
	for from := uint64(1); from != 0; {
		d, err := a.Dump(c.t.Context(), &pbftv1.DumpRequest{From: from})
		if err != nil {
			c.t.Fatalf("dump of replica %d: %v", i, err)
		}
		all = append(all, d.GetEntries()...)
		from = d.GetNext()
	}
	return all
}

// testWriter sends log lines to the test's log.
type testWriter struct{ t testing.TB }

// Write implements io.Writer.
func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

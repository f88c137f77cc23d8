package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/pbft-go/pbft/config"
	"github.com/pbft-go/pbft/crypto"
	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
	"github.com/pbft-go/pbft/wire"
	"github.com/pbft-go/pbft/wire/descriptor"
	"github.com/pbft-go/pbft/wire/oneport"
)

// messageBytes is the largest gRPC message that is taken, unless max_batch_bytes
// asks for more: gRPC's usual limit. Clients put many groups into one message.
const messageBytes = 4 << 20

// Server is a replica's public port.
type Server struct {
	config  *config.Config
	backend Backend
	log     *slog.Logger
	index   int
	version string
	cluster crypto.ClusterID

	compat *compatService
	client *clientService
	admin  *adminService

	grpc   *grpc.Server
	http   *http.Server
	health *health.Server

	hosts     replyHosts
	poster    *poster
	collector *collector
	sessions  *sessions

	metrics   http.Handler
	scrapes   atomic.Int32  // under way
	bodies    atomic.Int64  // bytes of request bodies held
	crossSite atomic.Uint64 // requests of foreign pages that were refused
	changed   chan struct{} // the replica's view or readiness may have changed
	readers   sync.WaitGroup
	stopping  chan struct{}
	stopOnce  sync.Once
}

// New makes a server; Serve starts it. The backend is not called before that.
func New(o Options, b Backend) (*Server, error) {
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		config: o.Config, backend: b, log: log, index: o.Index, version: o.Version, cluster: o.Config.ClusterID,
		hosts:     newReplyHosts(o.Config),
		poster:    newPoster(o.Config.NetworkTimeout, log),
		collector: newCollector(o.Config.ClusterID, len(o.Config.Nodes), o.Config.F()+1),
		sessions:  newSessions(),
		health:    health.NewServer(),
		changed:   make(chan struct{}, 1),
		stopping:  make(chan struct{}),
	}
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	s.compat, s.client, s.admin = &compatService{s: s}, &clientService{s: s}, &adminService{s: s}
	if err := s.newGRPC(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var err error
	if s.metrics, err = s.newMetrics(o.Metrics); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	handler, err := s.newHTTPHandler()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// newGRPC registers the services, with reflection that shows the comments of
// the proto files.
func (s *Server) newGRPC() error {
	options := wire.ServerOptions(max(messageBytes, 2*s.config.MaxBatchBytes))
	// A stream's answer may hold one block of many large results.
	s.grpc = grpc.NewServer(append(options, grpc.MaxSendMsgSize(outboxBytes+responseBytes))...)
	pbftv1.RegisterCompatServiceServer(s.grpc, s.compat)
	pbftv1.RegisterClientServiceServer(s.grpc, s.client)
	pbftv1.RegisterAdminServiceServer(s.grpc, s.admin)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	resolver, err := descriptor.Resolver()
	if err != nil {
		return err
	}
	o := reflection.ServerOptions{Services: s.grpc, DescriptorResolver: resolver}
	reflectionv1.RegisterServerReflectionServer(s.grpc, reflection.NewServerV1(o))
	return nil
}

// Serve answers on ln, which it owns from then on, until Stop, and then
// returns nil. It returns an error if the listener fails for good; Stop is
// needed then too. It must be called at most once.
func (s *Server) Serve(ln net.Listener) error {
	mux := oneport.New(ln, oneport.Options{AcceptFailed: func(err error) {
		s.log.Warn("public port: a connection was not accepted", "addr", ln.Addr().String(), "error", err)
	}})
	var wg sync.WaitGroup
	wg.Go(s.watch)
	failed := make(chan error, 3)
	wg.Go(func() { failed <- s.grpc.Serve(mux.GRPC) })
	wg.Go(func() { failed <- s.http.Serve(mux.HTTP) })
	wg.Go(func() { failed <- mux.Serve() })
	var err error
	select {
	case err = <-failed:
	case <-s.stopping:
	}
	s.beginStop()
	_ = mux.Close() // the listener's own error says nothing new
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil // Stop was faster than Serve
	}
	return err
}

// beginStop ends what waits: streams and callers are told.
func (s *Server) beginStop() {
	s.stopOnce.Do(func() {
		s.health.Shutdown()
		close(s.stopping)
	})
}

// Stop ends the port. Calls under way are answered, those that wait for an
// outcome with UNAVAILABLE; what is left when ctx ends is cut off, and Stop
// returns ctx's error. Serve has returned, or will at once.
func (s *Server) Stop(ctx context.Context) error {
	s.beginStop()
	graceful := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(graceful)
	}()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	select {
	case <-graceful:
	case <-ctx.Done():
		err = ctx.Err()
		s.grpc.Stop()
		<-graceful
	}
	s.readers.Wait()
	s.poster.stop()
	return err
}

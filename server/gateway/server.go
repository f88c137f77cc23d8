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
	"time"

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

// watchInterval is how often the replica's view and readiness are looked at,
// to tell clients' streams and the health service of a change.
const watchInterval = 200 * time.Millisecond

// messageOverhead is what a gRPC message may hold beside the largest batch.
const messageOverhead = 1 << 20

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

	bodies    atomic.Int64  // bytes of request bodies held
	crossSite atomic.Uint64 // requests of foreign pages that were refused
	readers   sync.WaitGroup
	stopping  chan struct{}
	stopOnce  sync.Once
}

// New makes a server; Serve starts it.
func New(o Options, b Backend) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		config: o.Config, backend: b, log: o.Logger, index: o.Index, version: o.Version, cluster: o.Config.ClusterID,
		hosts:     newReplyHosts(o.Config),
		poster:    newPoster(o.Config.NetworkTimeout, o.Logger),
		collector: newCollector(o.Config.ClusterID, len(o.Config.Nodes), o.Config.F()+1),
		sessions:  newSessions(),
		health:    health.NewServer(),
		stopping:  make(chan struct{}),
	}
	s.compat, s.client, s.admin = &compatService{s: s}, &clientService{s: s}, &adminService{s: s}
	if err := s.newGRPC(); err != nil {
		return nil, err
	}
	handler, err := s.newHTTPHandler()
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	s.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// newGRPC registers the services, with reflection that shows the comments of
// the proto files.
func (s *Server) newGRPC() error {
	s.grpc = grpc.NewServer(wire.ServerOptions(s.config.MaxBatchBytes + messageOverhead)...)
	pbftv1.RegisterCompatServiceServer(s.grpc, s.compat)
	pbftv1.RegisterClientServiceServer(s.grpc, s.client)
	pbftv1.RegisterAdminServiceServer(s.grpc, s.admin)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	resolver, err := descriptor.Resolver()
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	o := reflection.ServerOptions{Services: s.grpc, DescriptorResolver: resolver}
	reflectionv1.RegisterServerReflectionServer(s.grpc, reflection.NewServerV1(o))
	return nil
}

// Serve answers on ln until Stop, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	mux := oneport.New(ln, oneport.Options{AcceptFailed: func(err error) { s.log.Warn("accepting a connection failed", "err", err) }})
	defer mux.Close() //nolint:errcheck // the listener is going away
	s.setHealth()
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		s.watch()
	}()
	failed := make(chan error, 3)
	go func() { failed <- s.grpc.Serve(mux.GRPC) }()
	go func() { failed <- ignoreClosed(s.http.Serve(mux.HTTP)) }()
	go func() { failed <- mux.Serve() }()
	var err error
	select {
	case err = <-failed:
	case <-s.stopping:
	}
	_ = mux.Close()
	if err != nil {
		s.shutDown()
	}
	<-s.stopping
	<-watch
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *Server) shutDown() {
	s.stopOnce.Do(func() {
		s.health.Shutdown()
		close(s.stopping)
	})
}

// Stop ends the port: no new calls, those under way get their answers, until
// ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.shutDown()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		err = ctx.Err()
	}
	s.readers.Wait()
	s.poster.stop()
	return err
}

// watch tells streams and the health service what changed.
func (s *Server) watch() {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	last := s.backend.Info()
	for {
		select {
		case <-t.C:
			s.setHealth()
			if info := s.backend.Info(); info != last {
				last = info
				s.sessions.announce(&info)
			}
		case <-s.stopping:
			return
		}
	}
}

func (s *Server) setHealth() {
	state := healthv1.HealthCheckResponse_SERVING
	if s.backend.Ready() != nil {
		state = healthv1.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", state)
}

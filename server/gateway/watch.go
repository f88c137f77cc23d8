package gateway

import (
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	pbftv1 "github.com/pbft-go/pbft/gen/pbft/v1"
)

// watchInterval is how often the replica's view and readiness are looked at
// where nobody calls Changed: links to peers come and go by themselves.
const watchInterval = 200 * time.Millisecond

// Changed says that the replica's view or readiness may have changed. It never
// blocks.
func (s *Server) Changed() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// watch tells the streams and the health service what changed, until the
// server stops.
func (s *Server) watch() {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	last := s.backend.Info()
	s.setHealth()
	for {
		select {
		case <-t.C:
		case <-s.changed:
		case <-s.stopping:
			return
		}
		s.setHealth()
		if info := s.backend.Info(); info != last {
			last = info
			s.sessions.announce(&info)
		}
	}
}

// setHealth answers health checks for the server as a whole. The health server
// tells its watchers only of changes.
func (s *Server) setHealth() {
	state := healthv1.HealthCheckResponse_SERVING
	if s.backend.Ready() != nil {
		state = healthv1.HealthCheckResponse_NOT_SERVING
	}
	s.health.SetServingStatus("", state)
}

// Counters are the gateway's figures for GetStatus, sorted by name.
func (s *Server) Counters() []*pbftv1.Counter {
	sent, failed, dropped := s.poster.counts()
	streams, open := s.sessions.size()
	return []*pbftv1.Counter{
		{Name: "gateway_cross_site_refused", Value: s.crossSite.Load()},
		{Name: "gateway_replies_dropped", Value: dropped},
		{Name: "gateway_replies_failed", Value: failed},
		{Name: "gateway_replies_sent", Value: sent},
		{Name: "gateway_sessions", Value: uint64(open)},
		{Name: "gateway_streams", Value: uint64(streams)},
		{Name: "gateway_waiting_callers", Value: uint64(s.collector.waiting())},
	}
}

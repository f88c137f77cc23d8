package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxScrapes bounds the scrapes that are answered at once: each asks the
// replica's loop. More are refused.
const maxScrapes = 4

// newMetrics makes what answers GET /metrics: the figures of the port, of the
// replica (nil: none), of Go and of the process. The registry is the server's
// own, because several replicas may share a process.
func (s *Server) newMetrics(ofReplica prometheus.Collector) (http.Handler, error) {
	r := prometheus.NewRegistry()
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), portFigures{s},
	}
	if ofReplica != nil {
		all = append(all, ofReplica)
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), ErrorHandling: promhttp.ContinueOnError,
	}), nil
}

// serveMetrics answers one scrape.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) {
	defer s.scrapes.Add(-1)
	if s.scrapes.Add(1) > maxScrapes {
		writeError(w, http.StatusTooManyRequests, status.Convert(
			later(codes.ResourceExhausted, time.Second, "%d scrapes of this replica are under way, the most allowed: try again", maxScrapes)))
		return
	}
	s.metrics.ServeHTTP(w, r)
}

// Figures of the public port. They are read when they are scraped.
var (
	postsDesc = prometheus.NewDesc("pbft_reply_posts_total",
		"Replies POSTed to reply URLs, by what became of them: sent, failed, or dropped from a full queue.", []string{"outcome"}, nil)
	sessionsDesc = prometheus.NewDesc("pbft_sessions",
		"Sessions of clients that are open on streams here.", nil, nil)
	streamsDesc = prometheus.NewDesc("pbft_client_streams",
		"Streams of clients that are open here.", nil, nil)
	callersDesc = prometheus.NewDesc("pbft_waiting_callers",
		"Unary and JSON callers that wait for f+1 equal replies.", nil, nil)
	bodiesDesc = prometheus.NewDesc("pbft_request_body_bytes",
		"Bytes of the HTTP request bodies that are being handled.", nil, nil)
	crossSiteDesc = prometheus.NewDesc("pbft_cross_site_refused_total",
		"HTTP requests refused because another site's page sent them.", nil, nil)
)

// portFigures is the server as a registry sees it.
type portFigures struct{ s *Server }

// Describe implements prometheus.Collector.
func (portFigures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{postsDesc, sessionsDesc, streamsDesc, callersDesc, bodiesDesc, crossSiteDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (p portFigures) Collect(to chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	sent, failed, dropped := p.s.poster.counts()
	put(postsDesc, prometheus.CounterValue, float64(sent), "sent")
	put(postsDesc, prometheus.CounterValue, float64(failed), "failed")
	put(postsDesc, prometheus.CounterValue, float64(dropped), "dropped")
	streams, open := p.s.sessions.size()
	put(sessionsDesc, prometheus.GaugeValue, float64(open))
	put(streamsDesc, prometheus.GaugeValue, float64(streams))
	put(callersDesc, prometheus.GaugeValue, float64(p.s.collector.waiting()))
	put(bodiesDesc, prometheus.GaugeValue, float64(p.s.bodies.Load()))
	put(crossSiteDesc, prometheus.CounterValue, float64(p.s.crossSite.Load()))
}

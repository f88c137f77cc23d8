package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsTellOfThePortAndTheProcess(t *testing.T) {
	p := start(t)
	p.send(t, http.MethodPost, "/request", strings.NewReader(`{}`), "Origin", "http://evil.example")
	a := p.send(t, http.MethodGet, "/metrics", nil)
	if ct := a.header.Get("Content-Type"); a.status != 200 || !strings.HasPrefix(ct, "text/plain") {
		t.Fatalf("%d %q: %s", a.status, ct, a.body)
	}
	for _, want := range []string{
		"pbft_cross_site_refused_total 1\n", "pbft_sessions 0\n", `pbft_reply_posts_total{outcome="dropped"} 0` + "\n",
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestMetricsAreOnlyRead(t *testing.T) {
	p := start(t)
	if a := p.send(t, http.MethodHead, "/metrics", nil); a.status != 200 || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.body)
	}
	a := p.send(t, http.MethodPost, "/metrics", strings.NewReader(`{}`))
	if a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d, allowed %q", a.status, a.header.Get("Allow"))
	}
}

func TestMoreScrapesThanAllowedAreRefused(t *testing.T) {
	p := start(t)
	p.server.scrapes.Store(maxScrapes)
	a := p.send(t, http.MethodGet, "/metrics", nil)
	if a.status != 429 || a.header.Get("Retry-After") == "" || a.field(t, "code") != "RESOURCE_EXHAUSTED" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	p.server.scrapes.Store(0)
	if a := p.send(t, http.MethodGet, "/metrics", nil); a.status != 200 {
		t.Errorf("afterwards %d %s", a.status, a.body)
	}
}

func TestANameThatIsTakenIsAnError(t *testing.T) {
	s := start(t).server
	taken := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pbft_sessions", Help: "Another."})
	if _, err := s.newMetrics(taken); err == nil || !strings.Contains(err.Error(), "pbft_sessions") {
		t.Errorf("error %v", err)
	}
}

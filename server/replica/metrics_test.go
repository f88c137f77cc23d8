package replica_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pbft-go/pbft/server/replica/replicatest"
)

// figures is one scrape, by name.
type figures map[string]*dto.MetricFamily

func scrape(t *testing.T, url string) figures {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // bounded by the server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Fatalf("status %d, Content-Type %q", resp.StatusCode, ct)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	f, err := p.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// value is a figure; labels are name, value, ...
func (f figures) value(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range f[name].GetMetric() {
		got := map[string]string{}
		for _, l := range m.GetLabel() {
			got[l.GetName()] = l.GetValue()
		}
		want := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			want[labels[i]] = labels[i+1]
		}
		if maps.Equal(got, want) {
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no figure %s%v", name, labels)
	return 0
}

func (f figures) want(t *testing.T, value float64, name string, labels ...string) {
	t.Helper()
	if got := f.value(t, name, labels...); got != value {
		t.Errorf("%s%v is %v, want %v", name, labels, got, value)
	}
}

func TestAScrapeTellsWhatGetStatusTells(t *testing.T) {
	c := replicatest.Start(t, 4, "ckpt_interval: 5\n")
	for n := range 6 {
		if code, m := post(t, c.URL(0, "/request"), fmt.Sprintf(`{"id":[1,%d],"data":"x"}`, n)); code != 200 {
			t.Fatal(code, m)
		}
	}
	until(t, "checkpoint 5 is stable at replica 2, and batch 6 executed", func() bool {
		s := c.Status(2)
		return s.GetLowWatermark() == 5 && s.GetLastExecuted() == 6
	})
	f := scrape(t, c.URL(2, "/metrics"))
	f.want(t, 4, "pbft_replicas")
	f.want(t, 3, "pbft_quorum")
	f.want(t, float64(c.Status(2).GetView()), "pbft_view")
	f.want(t, 1, "pbft_status", "status", "normal")
	f.want(t, 0, "pbft_status", "status", "learner")
	f.want(t, 1, "pbft_ready")
	f.want(t, 1, "pbft_scrape_answered", "part", "loop")
	f.want(t, 1, "pbft_scrape_answered", "part", "executor")
	f.want(t, 5, "pbft_low_watermark")
	f.want(t, 25, "pbft_high_watermark")
	f.want(t, 6, "pbft_last_committed")
	f.want(t, 6, "pbft_last_executed")
	f.want(t, 0, "pbft_lag_batches")
	f.want(t, 1, "pbft_stable_checkpoints_total")
	f.want(t, 6, "pbft_executed_requests_total")
	f.want(t, 6, "pbft_executed_batches_total")
	f.want(t, 6, "pbft_batch_size_requests")
	f.want(t, 1, "pbft_clients")
	f.want(t, 0, "pbft_window_full_seconds_total")
	f.want(t, 1, "pbft_peer_connected", "peer", "3")
	f.want(t, 0, "pbft_peer_equivocations_total", "peer", "0")
	f.want(t, 0, "pbft_reply_posts_total", "outcome", "dropped")
	if f.value(t, "process_start_time_seconds") == 0 || f.value(t, "go_goroutines") == 0 {
		t.Error("nothing of the process")
	}
}

func TestAScrapeCountsViewChangesByCause(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	c.StopReplica(0) // hands over
	until(t, "replica 1 leads", func() bool { return c.Status(1).GetView() == 1 })
	f := scrape(t, c.URL(1, "/metrics"))
	sum := f.value(t, "pbft_view_changes_total", "cause", "abdication") + f.value(t, "pbft_view_changes_total", "cause", "joined")
	if sum == 0 || f.value(t, "pbft_view") == 0 || f.value(t, "pbft_new_views_total") == 0 {
		t.Errorf("view %v, view changes %v", f["pbft_view"], f["pbft_view_changes_total"])
	}
}

func TestALearnerShowsInAScrape(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	post(t, c.URL(0, "/request"), `{"id":[1,0],"data":"x"}`)
	until(t, "replica 3 has executed", func() bool { return c.Status(3).GetLastExecuted() == 1 })
	c.StopReplica(3)
	c.Restart(3)
	until(t, "replica 3 is a learner", func() bool {
		return scrape(t, c.URL(3, "/metrics")).value(t, "pbft_status", "status", "learner") == 1
	})
	f := scrape(t, c.URL(3, "/metrics"))
	f.want(t, 0, "pbft_ready")
	f.want(t, 0, "pbft_status", "status", "normal")
}

// TestEveryFigureIsDocumentedAndThereIsNoOther holds docs/operations.md against
// a scrape, both ways.
func TestEveryFigureIsDocumentedAndThereIsNoOther(t *testing.T) {
	c := replicatest.Start(t, 4, "")
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bpbft_[a-z0-9_]+`).FindAllString(string(text), -1) {
		documented[name] = true
	}
	got := scrape(t, c.URL(0, "/metrics"))
	for name := range got {
		if strings.HasPrefix(name, "pbft_") && !documented[name] {
			t.Errorf("%s is scraped, and docs/operations.md does not name it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if got[name] == nil {
			t.Errorf("docs/operations.md names %s, and a scrape does not hold it", name)
		}
	}
}

func TestFiguresAreNamedAsPrometheusAsksFor(t *testing.T) {
	c := replicatest.Start(t, 1, "")
	resp, err := http.Get(c.URL(0, "/metrics")) //nolint:noctx // bounded by the server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	problems, err := promlint.New(resp.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "pbft_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

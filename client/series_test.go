package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// parse reads the flags of bench.
func parse(t *testing.T, args string) (*benchOptions, error) {
	t.Helper()
	var o benchOptions
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	o.define(fs)
	err := fs.Parse(strings.Fields(args))
	o.sizeGiven, o.keysGiven = fs.Changed("size"), fs.Changed("keys")
	return &o, err
}

func TestAListOfLoadsIsASeriesOfPoints(t *testing.T) {
	for _, tt := range []struct {
		args        string
		outstanding []int
		rates       []float64
		clients     []int
		labels      string
	}{
		{"", []int{100}, []float64{0}, []int{1}, "100"},
		{"--outstanding 0", []int{100}, []float64{0}, []int{1}, "100"},
		{"--outstanding 1_000", []int{1000}, []float64{0}, []int{2}, "1000"},
		{"--outstanding 1,10,1000", []int{1, 10, 1000}, []float64{0, 0, 0}, []int{1, 1, 2}, "1 10 1000"},
		{"--outstanding 8,0x10 --clients 4", []int{8, 16}, []float64{0, 0}, []int{4, 4}, "8 16"},
		{"--outstanding 7,8 --outstanding 9", []int{9}, []float64{0}, []int{1}, "9"},
		{"--rate 500", []int{10_000}, []float64{500}, []int{20}, "10000"},
		{"--rate 0", []int{100}, []float64{0}, []int{1}, "100"},
		{"--rate 0.5,1e6", []int{10_000, 10_000}, []float64{0.5, 1e6}, []int{20, 20}, "0.5 1000000"},
		{"--rate 100,200 --outstanding 50", []int{50, 50}, []float64{100, 200}, []int{1, 1}, "100 200"},
		{"--rate 100 --outstanding 5,6", []int{5, 6}, []float64{100, 100}, []int{1, 1}, "5 6"},
	} {
		o, err := parse(t, tt.args)
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		points, err := o.points()
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		var outstanding, clients []int
		var rates []float64
		var labels []string
		for _, p := range points {
			outstanding, clients = append(outstanding, p.outstanding), append(clients, p.clients)
			rates, labels = append(rates, p.rate), append(labels, p.label())
		}
		if !slices.Equal(outstanding, tt.outstanding) || !slices.Equal(rates, tt.rates) || !slices.Equal(clients, tt.clients) || strings.Join(labels, " ") != tt.labels {
			t.Errorf("%s: %v in flight, rates %v, clients %v, labels %v", tt.args, outstanding, rates, clients, labels)
		}
	}
}

func TestWrongSeriesAreRefused(t *testing.T) {
	same := filepath.Join(t.TempDir(), "same")
	for _, tt := range []struct{ args, want string }{
		{"--outstanding 1,x", `"x" is no whole number`},
		{"--outstanding 1,,2", `"" is no whole number`},
		{"--outstanding 1.5", `"1.5" is no whole number`},
		{"--rate 1,fast", `"fast" is no number`},
		{"--rate 1,1e999", `"1e999" is no number`},
		{"--outstanding 1,2 --rate 3,4", "--outstanding and --rate are lists, allowed is one list"},
		{"--outstanding 0,1", "--outstanding has a 0 in its list, allowed are 1 to 1000000"},
		{"--rate 100,0", "--rate has a 0 in its list"},
		{"--outstanding 5,-1", "--outstanding is -1, allowed are 1 to 1000000, with --outstanding -1"},
		{"--outstanding 5,1000001", "--outstanding is 1000001, allowed are 1 to 1000000, with --outstanding 1000001"},
		{"--rate 5,NaN", "--rate is NaN"},
		{"--rate 5,-2", "--rate is -2, allowed are 0 to 10000000, with --rate -2"},
		{"--outstanding 1,10 --clients 4", "--clients is 4, allowed are 1 to 1 (each has at least one request in flight), with --outstanding 1"},
		{"--plot " + same, "--plot needs at least two points, there is one"},
		{"--outstanding 5 --plot " + same, "--plot needs at least two points, there is one"},
		{"--outstanding 5,6 --plot -", "--plot is -, allowed is the name of a file"},
		{"--outstanding 5,6 --plot " + same + " --json " + same, "--plot and --json name the same file"},
		{"--outstanding 5,6 --plot " + filepath.Join(same, "x") + " -c " + sample, "--plot: open"},
		{"--workload 4/0 --size 64", "--size does not apply to --workload 4/0, whose operations have 4096 bytes"},
		{"--workload 0/4 --keys 100000", "--keys does not apply to --workload 0/4"},
		{"--workload 0/0 --size 9 --outstanding 1,2", "--size does not apply to --workload 0/0"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			b := newTestbed("")
			b.want(t, exitUsage, append([]string{"bench"}, strings.Fields(tt.args)...)...)
			if !strings.Contains(b.stderr.String(), tt.want) || b.stdout.Len() > 0 {
				t.Errorf("stdout %q, stderr %q, want %q", &b.stdout, &b.stderr, tt.want)
			}
		})
	}
	if _, err := os.Stat(same); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused command line made a file: %v", err)
	}
}

func TestBenchMeasuresASeries(t *testing.T) {
	r := startCluster(t, "state_machine: kv\n")
	for _, tt := range []struct {
		args, first string
		labels      []string
		rates       []float64
	}{
		{"--workload 0/4 --outstanding 1,8,16 --clients 1", "IN FLIGHT", []string{"1", "8", "16"}, []float64{0, 0, 0}},
		{"--workload kv-put --rate 200,400 --keys 50", "ASKED/S", []string{"200", "400"}, []float64{200, 400}},
	} {
		dir := t.TempDir()
		figures, drawing := filepath.Join(dir, "figures.json"), filepath.Join(dir, "plot.svg")
		out := r.bench(t, append(strings.Fields(tt.args), "--json", figures, "--plot", drawing)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 2+len(tt.labels) || !strings.HasPrefix(strings.TrimSpace(lines[1]), tt.first) {
			t.Fatalf("%s prints\n%s", tt.args, out)
		}
		var reports []report
		if err := json.Unmarshal(read(t, figures), &reports); err != nil || len(reports) != len(tt.labels) {
			t.Fatalf("%d reports: %v", len(reports), err)
		}
		svg := read(t, drawing)
		checkXML(t, svg)
		for i, f := range reports {
			if f.Requests == 0 || f.Errors != 0 || f.Throughput <= 0 || f.Latency.P50 <= 0 || f.CPU.Total <= 0 || f.TargetRate != tt.rates[i] {
				t.Errorf("point %d of %s gives %+v", i, tt.args, f)
			}
			line := strings.Fields(lines[2+i])
			if len(line) != 9 || line[0] != tt.labels[i] || line[1] != fmt.Sprintf("%.0f", f.Throughput) || line[3] != ms(f.Latency.P99) || line[8] != "0" {
				t.Errorf("line %q of %+v", line, f)
			}
			if label := ">" + tt.labels[i] + "</text>"; !strings.Contains(string(svg), label) {
				t.Errorf("the drawing lacks %s", label)
			}
		}
	}
}

func TestASeriesOnStandardOutputIsOneArray(t *testing.T) {
	b := newTestbed("")
	out := b.open(t, "--outstanding 1,2 --json -")
	if err := errors.Join(out.add(&report{Outstanding: 1}), out.add(&report{Outstanding: 2}), out.end()); err != nil {
		t.Fatal(err)
	}
	var reports []report
	if err := json.Unmarshal(b.stdout.Bytes(), &reports); err != nil || len(reports) != 2 || reports[1].Outstanding != 2 {
		t.Errorf("%v\n%s", err, &b.stdout)
	}
}

// A series that ends early reports what it has.
func TestAnUnfinishedSeriesReportsItsPoints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	b := newTestbed("")
	out := b.open(t, "--outstanding 1,2,3 --json "+file)
	bad := &report{Workload: "log", Replicas: 4, Answered: 3, Errors: 2, ErrorTexts: map[string]uint64{"a\nb": 2}}
	if out.next() != "bench 1/3" {
		t.Errorf("title %q", out.next())
	}
	if err := errors.Join(out.add(bad), out.end()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not counted, with --outstanding 1: 1 of 4 replicas", "error, with --outstanding 1: 2 times a b\n"} {
		if !strings.Contains(b.stdout.String(), want) {
			t.Errorf("%q lacks %q", &b.stdout, want)
		}
	}
	var reports []report
	if err := json.Unmarshal(read(t, file), &reports); err != nil || len(reports) != 1 || reports[0].Errors != 2 {
		t.Errorf("%d reports: %v", len(reports), err)
	}
}

// open opens the results of a benchmark.
func (b *testbed) open(t *testing.T, args string) *results {
	t.Helper()
	o, err := parse(t, args)
	if err != nil {
		t.Fatal(err)
	}
	points, err := o.points()
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.openResults(points)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.close)
	return out
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// checkXML demands a well-formed document.
func checkXML(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(text)))
	for elements := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && elements > 0 {
			return
		}
		if err != nil {
			t.Fatalf("%d elements, then %v in\n%s", elements, err, text)
		}
		if _, ok := token.(xml.StartElement); ok {
			elements++
		}
	}
}

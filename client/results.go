package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// results are where a benchmark's reports go: standard output and files.
type results struct {
	p          *program
	points     []*benchOptions
	reports    []*report
	json, plot *resultFile
}

// openResults opens the files. They are opened before the load starts, so that
// a name that does not work costs no benchmark.
func (p *program) openResults(points []*benchOptions) (*results, error) {
	o := points[0] // files are the same in all
	s := &results{p: p, points: points}
	var err error
	if o.json != "-" {
		if s.json, err = openResult("--json", o.json); err != nil {
			return nil, err
		}
	}
	if s.plot, err = openResult("--plot", o.plot); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *results) close() {
	s.json.close()
	s.plot.close()
}

// series says whether there are several points.
func (s *results) series() bool { return len(s.points) > 1 }

// toStdout says whether JSON takes the place of the table.
func (s *results) toStdout() bool { return s.points[0].json == "-" }

// next names the point that is measured now.
func (s *results) next() string {
	if !s.series() {
		return "bench"
	}
	return fmt.Sprintf("bench %d/%d", len(s.reports)+1, len(s.points))
}

// add takes the report of the next point and prints it. That of a series goes
// to files at the end.
func (s *results) add(r *report) error {
	s.reports = append(s.reports, r)
	switch {
	case !s.series():
		if err := s.writeJSON(r); err != nil || s.toStdout() {
			return err
		}
		return s.p.print(r.table())
	case s.toStdout():
		return nil
	case len(s.reports) == 1:
		return s.p.print(append(seriesHead(s.points[0], r), seriesLine(s.points[0], r)...))
	}
	return s.p.print(seriesLine(s.points[len(s.reports)-1], r))
}

// end writes what is about all points that were measured.
func (s *results) end() error {
	if !s.series() || len(s.reports) == 0 {
		return nil
	}
	if err := s.writeJSON(s.reports); err != nil {
		return err
	}
	if !s.toStdout() {
		if err := s.p.print(s.remarks()); err != nil {
			return err
		}
	}
	var drawn []plotPoint
	for i, r := range s.reports {
		if r.Requests > 0 {
			drawn = append(drawn, plotPoint{s.points[i].label(), r.Throughput, r.Latency.P50, r.Latency.P99})
		}
	}
	if len(drawn) < 2 {
		return nil // what went wrong is reported by others
	}
	return s.plot.write(drawPlot(s.title(), s.subtitle(), drawn))
}

func (s *results) writeJSON(v any) error {
	j, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	j = append(j, '\n')
	if s.toStdout() {
		return s.p.print(j)
	}
	return s.json.write(j)
}

// title says what all points have in common.
func (s *results) title() string {
	r := s.reports[0]
	return fmt.Sprintf("%s, operations of %d bytes, %s, %d replicas", r.Workload, r.OperationBytes, r.loop(), r.Replicas)
}

// subtitle says what the labels of the points are.
func (s *results) subtitle() string {
	if s.points[0].rates.series() {
		return "at each point: requests/s asked for"
	}
	return "at each point: requests in flight"
}

const seriesFormat = "%11s %11s %9s %9s %9s %9s %9s %9s %7s\n"

// seriesHead stands above the lines of a series.
func seriesHead(o *benchOptions, r *report) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %d bytes, %s, %v for each line; latency in ms, CPU in us per request\n", r.Workload, r.OperationBytes, r.loop(), o.duration)
	first := "IN FLIGHT"
	if o.rates.series() {
		first = "ASKED/S"
	}
	fmt.Fprintf(&b, seriesFormat, first, "REQUESTS/S", "P50", "P99", "P99.9", "CLIENT", "REPLICAS", "TOTAL", "ERRORS")
	return b.Bytes()
}

// seriesLine is one point. Its columns have a fixed width, so that it can be
// printed before the next point is known.
func seriesLine(o *benchOptions, r *report) []byte {
	us := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	return fmt.Appendf(nil, seriesFormat, o.label(), fmt.Sprintf("%.0f", r.Throughput),
		ms(r.Latency.P50), ms(r.Latency.P99), ms(r.Latency.P999),
		us(r.CPU.Client), us(r.CPU.Replicas), us(r.CPU.Total), fmt.Sprint(r.Errors))
}

// remarks are those of all points, with the point before each.
func (s *results) remarks() []byte {
	var b bytes.Buffer
	for i, r := range s.reports {
		for _, remark := range r.remarks() {
			fmt.Fprintf(&b, "%s%s: %s\n", remark[0], s.points[i].inSeries(), remark[1])
		}
	}
	return b.Bytes()
}

// resultFile is an open file; nil writes nowhere.
type resultFile struct {
	flag string
	file *os.File
}

func openResult(flag, name string) (*resultFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, misused{fmt.Errorf("%s: %w", flag, err)}
	}
	return &resultFile{flag, f}, nil
}

func (f *resultFile) write(b []byte) error {
	if f == nil {
		return nil
	}
	if _, err := f.file.Write(b); err != nil {
		return fmt.Errorf("%s: %w", f.flag, err)
	}
	return nil
}

func (f *resultFile) close() {
	if f != nil {
		_ = f.file.Close()
	}
}

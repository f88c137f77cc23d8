package main

import (
	"bytes"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/plot.svg anew")

const plotFile = "testdata/plot.svg"

// curve is what a series may look like, with a point that goes back.
var curve = []plotPoint{
	{"1", 1380, 660, 1450},
	{"10", 9120, 980, 2300},
	{"100", 61_250, 1500, 4100},
	{"1000", 248_000, 3900, 9800},
	{"10000", 452_300, 21_000, 44_000},
	{"20000", 447_000, 43_500, 98_000},
}

func TestGoldenPlot(t *testing.T) {
	got := drawPlot("kv-put, operations of 64 bytes, closed loop, 4 replicas", "at each point: requests in flight", curve)
	checkXML(t, got)
	if *update {
		if err := os.WriteFile(plotFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, plotFile); !bytes.Equal(got, want) {
		t.Errorf("the drawing differs from %s; if that is meant, look at it after: go test ./client -run Golden -update", plotFile)
	}
	for _, want := range []string{
		`<rect width="800" height="500" fill="#ffffff"/>`, "throughput, requests/s", "latency, ms", ">p50<", ">p99<",
		">1<", ">10<", ">100<", ">1,000<", ">10,000<", ">20,000<", "10,000: 452300 requests/s, p99 44.00 ms",
	} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the drawing lacks %s", want)
		}
	}
}

func TestThePlotEscapesItsTexts(t *testing.T) {
	got := drawPlot(`<a> & "b"`, "<c>", []plotPoint{{"<1>", 1, 1, 1}, {"2", 1, 1, 1}})
	checkXML(t, got)
	if strings.Contains(string(got), "<a>") || strings.Contains(string(got), "<1>") {
		t.Errorf("not escaped:\n%s", got)
	}
}

func TestAxesCoverAllPoints(t *testing.T) {
	for _, points := range [][]plotPoint{
		curve,
		{{"1", 0.3, 1, 1}, {"2", 0.4, 1, 1}},
		{{"1", 6, 1000, 1000}, {"2", 6, 1000, 1000}}, // on ticks
		{{"1", 1e7, 999, 1001}, {"2", 1, 2, maxLatency}},
	} {
		x, y := newLinearAxis(points), newLogAxis(points)
		if n := len(x.ticks); n < 4 || n > 8 || len(y.ticks) < 2 || len(y.ticks) > 14 {
			t.Errorf("%v: ticks %v and %v", points, x.ticks, y.ticks)
		}
		for i := range x.ticks[1:] {
			if x.text(x.ticks[i]) == x.text(x.ticks[i+1]) {
				t.Errorf("%v: two ticks are %s", points, x.text(x.ticks[i]))
			}
		}
		for _, p := range points {
			for _, us := range []int64{p.p50, p.p99} {
				if px, py := x.at(p.throughput), y.at(us); px < plotLeft || px > plotRight || !(py >= plotTop-1e-6 && py <= plotBottom+1e-6) || math.IsNaN(px) {
					t.Errorf("%v lies at %v, %v", p, px, py)
				}
			}
		}
	}
}

func TestLabelsDoNotCoverEachOther(t *testing.T) {
	at := []spot{{100, 300}, {104, 298}, {112, 290}, {400, 200}}
	below := []spot{{100, 360}, {104, 358}, {112, 350}, {400, 260}}
	points := []plotPoint{{label: "1"}, {label: "10"}, {label: "100"}, {label: "1000"}}
	places := placeLabels(points, at, below)
	for i := range places {
		for j := range places[:i] {
			if math.Abs(places[i].x-places[j].x) < 8 && math.Abs(places[i].y-places[j].y) < plotFont-2 {
				t.Errorf("label %d at %v covers label %d at %v", i, places[i], j, places[j])
			}
		}
	}
	if alone := places[3]; alone.y >= 200 || alone.x >= 400 {
		t.Errorf("a label with room is at %v, want it above its marker", alone)
	}
}

func TestThousandsAreGrouped(t *testing.T) {
	for number, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "1234567.25": "1,234,567.25", "0.001": "0.001"} {
		if got := grouped(number); got != want {
			t.Errorf("%s becomes %s, want %s", number, got, want)
		}
	}
}

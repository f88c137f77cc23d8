//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const dumpText = `[[[7000, 0], "probe 0 of 7000"], [["bench-a-0", 5], "x"], [["bench-a-0", 6], {"base64": "/w=="}]]`

func read(t *testing.T, text string) []entry {
	t.Helper()
	d, err := readDump(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADumpReadsAsItIsPrinted(t *testing.T) {
	want := []entry{{"7000, 0", `"probe 0 of 7000"`}, {`"bench-a-0", 5`, `"x"`}, {`"bench-a-0", 6`, `{"base64": "/w=="}`}}
	if got := read(t, dumpText); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for _, broken := range []string{"", "[", "[[[1, 2], \"a\"]", "{}x"} {
		if _, err := readDump(strings.NewReader(broken)); err == nil {
			t.Errorf("%q was read as a dump", broken)
		}
	}
}

func TestWhatIsWrongWithDumpsIsFound(t *testing.T) {
	good := read(t, dumpText)
	acks := []ack{{id: "7000, 0", op: `"probe 0 of 7000"`}}
	other := slices.Clone(good)
	other[1].op = `"y"`
	for _, tt := range []struct {
		name  string
		dumps map[int][]entry
		acks  []ack
		bench uint64
		says  []string
	}{
		{"nothing", map[int][]entry{0: good, 1: good, 3: good}, acks, 2, nil},
		{"one is short", map[int][]entry{0: good[:2], 1: good}, acks, 2, []string{
			"replica 0 is not as replica 1: 2 operations here, 3 there",
			"replica 0: 1 operations of client bench, which had answers to 2",
		}},
		{"one has another operation", map[int][]entry{1: good, 2: other}, acks, 2, []string{
			`replica 2 is not as replica 1: operation 1 is ["bench-a-0", 5] "y" here, ["bench-a-0", 5] "x" there`,
		}},
		{"executed twice", map[int][]entry{0: append(slices.Clone(good), good[0])}, acks, 2, []string{
			"replica 0: 1 operations are there twice",
		}},
		{"lost", map[int][]entry{0: good, 1: good}, []ack{{id: "7000, 1", op: `"probe 1 of 7000"`}}, 3, []string{
			"replica 0: 1 acknowledged operations of the probe are missing or others",
			"replica 0: 2 operations of client bench, which had answers to 3",
		}},
		{"acknowledged with other data", map[int][]entry{0: good}, []ack{{id: "7000, 0", op: `"z"`}}, 2, []string{
			"replica 0: 1 acknowledged operations of the probe are missing or others",
		}},
		{"no dump", nil, acks, 2, nil}, // its error is told already
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := checkDumps(tt.dumps, tt.acks, tt.bench); !slices.Equal(got, tt.says) {
				t.Errorf("got  %q\nwant %q", got, tt.says)
			}
		})
	}
}

func TestThePauseIsTheLongestTimeWithoutAnAcknowledgement(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s ...int) (acks []ack) {
		for _, x := range s {
			acks = append(acks, ack{at: begin.Add(time.Duration(x) * time.Second)})
		}
		return acks
	}
	for _, tt := range []struct {
		acks []ack
		want time.Duration
	}{
		{nil, 10 * time.Second},
		{at(1, 2, 3, 5, 8, 9), 3 * time.Second},
		{at(9, 1, 5), 4 * time.Second}, // in any order
		{at(6, 8), 6 * time.Second},    // before the first
		{at(1, 2), 8 * time.Second},    // after the last
		{at(2, 4, 6, 8, 10, 30), 20 * time.Second},
	} {
		p := probe{begin: begin, acks: tt.acks}
		if got := p.pause(begin.Add(10 * time.Second)); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.acks, got, tt.want)
		}
	}
}

func TestTheMedianOfFiveIsTheThird(t *testing.T) {
	if m := median([]time.Duration{5, 1, 9, 3, 7}); m != 5 {
		t.Errorf("median %d", m)
	}
}

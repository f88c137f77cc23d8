package main

import (
	"math"
	"strconv"
	"strings"
)

// linearAxis goes from 0 to the right; values are requests/s.
type linearAxis struct {
	ticks    []float64
	decimals int // of a tick's text
}

// newLinearAxis covers all throughputs with about six ticks, each step 1, 2 or
// 5 times a power of ten.
func newLinearAxis(points []plotPoint) linearAxis {
	most := 0.0
	for _, p := range points {
		most = max(most, p.throughput)
	}
	exponent := math.Floor(math.Log10(most / 6))
	step := 10 * math.Pow(10, exponent)
	for _, m := range []float64{5, 2, 1} {
		if s := m * math.Pow(10, exponent); s >= most/6 {
			step = s
		}
	}
	a := linearAxis{decimals: max(0, int(-math.Floor(math.Log10(step))))}
	for i := range int(math.Ceil(most/step)) + 1 {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// at is the pixel of a value.
func (a *linearAxis) at(v float64) float64 {
	return plotLeft + (plotRight-plotLeft)*v/a.ticks[len(a.ticks)-1]
}

func (a *linearAxis) text(tick float64) string {
	return grouped(strconv.FormatFloat(tick, 'f', a.decimals, 64))
}

// logAxis goes upwards; values are microseconds, texts milliseconds.
type logAxis struct{ ticks []int64 }

// maxFineDecades is how many powers of ten have ticks between them.
const maxFineDecades = 4

// newLogAxis covers all latencies from a tick below to one above.
func newLogAxis(points []plotPoint) logAxis {
	low, high := points[0].p50, points[0].p99
	for _, p := range points {
		low, high = min(low, p.p50), max(high, p.p99)
	}
	between := []int64{1, 2, 5}
	if math.Log10(float64(high)/float64(low)) > maxFineDecades {
		between = between[:1]
	}
	var a logAxis
	for ten := int64(1); ; ten *= 10 {
		for _, m := range between {
			tick := m * ten
			if tick <= low {
				a.ticks = a.ticks[:0] // the tick before is not needed
			}
			a.ticks = append(a.ticks, tick)
			if tick >= high && len(a.ticks) > 1 {
				return a
			}
		}
	}
}

// at is the pixel of a value.
func (a *logAxis) at(us int64) float64 {
	low, high := float64(a.ticks[0]), float64(a.ticks[len(a.ticks)-1])
	return plotBottom - (plotBottom-plotTop)*math.Log(float64(us)/low)/math.Log(high/low)
}

func (a *logAxis) text(tick int64) string {
	return grouped(strconv.FormatFloat(float64(tick)/1000, 'f', -1, 64))
}

// grouped puts commas between the thousands of a number in decimal.
func grouped(number string) string {
	whole, fraction, _ := strings.Cut(number, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole
}

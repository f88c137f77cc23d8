package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// plotPoint is a point of a series as it is drawn.
type plotPoint struct {
	label      string
	throughput float64 // requests/s
	p50, p99   int64   // latency in microseconds, at least 1
}

// Pixels of the drawing, and of the area between its axes.
const (
	plotWidth, plotHeight = 800, 500
	plotLeft, plotRight   = 80, 770
	plotTop, plotBottom   = 72, 440
	plotFont              = 12
	markerSize            = 4 // from its centre to its edge
)

// Colours that differ in brightness, too, and are told apart by eyes that
// confuse red and green. The background is drawn, so that they suit a viewer
// with a dark one.
const (
	colourP50  = "#0072b2"
	colourP99  = "#d55e00"
	colourText = "#222222"
	colourGrid = "#dddddd"
)

// plot is a drawing under way.
type plot struct {
	b bytes.Buffer
	x linearAxis
	y logAxis
}

// drawPlot draws two points or more as an SVG document, the same one for the
// same points: throughput to the right, latency upwards on a logarithmic axis.
func drawPlot(title, subtitle string, points []plotPoint) []byte {
	p := &plot{x: newLinearAxis(points), y: newLogAxis(points)}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="%d" fill="%s">`,
		plotWidth, plotHeight, plotWidth, plotHeight, plotFont, colourText)
	p.add(`<title>%s</title>`, escape("Throughput and latency: "+title))
	p.add(`<rect width="%d" height="%d" fill="#ffffff"/>`, plotWidth, plotHeight)
	p.add(`<text x="%d" y="26" text-anchor="middle" font-size="15">%s</text>`, (plotLeft+plotRight)/2, escape(title))
	p.legend(subtitle)
	p.axes()
	p50 := make([]spot, len(points))
	p99 := make([]spot, len(points))
	for i, x := range points {
		p50[i] = spot{p.x.at(x.throughput), p.y.at(x.p50)}
		p99[i] = spot{p.x.at(x.throughput), p.y.at(x.p99)}
	}
	p.line(colourP50, p50)
	p.line(colourP99, p99)
	for i, x := range points {
		p.marker(colourP50, p50[i], x.about("p50", x.p50))
		p.marker(colourP99, p99[i], x.about("p99", x.p99))
	}
	for i, at := range placeLabels(points, p99, p50) {
		// The white edge keeps a label readable on a line.
		p.add(`<text x="%.1f" y="%.1f" stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke">%s</text>`, at.x, at.y, escape(grouped(points[i].label)))
	}
	p.add(`</svg>`)
	return p.b.Bytes()
}

// add appends a line.
func (p *plot) add(format string, args ...any) {
	fmt.Fprintf(&p.b, format+"\n", args...)
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // into memory
	return b.String()
}

// legend shows the lines, and says what the labels of the points are.
func (p *plot) legend(subtitle string) {
	const y = 52
	x := float64(plotLeft)
	for _, s := range []struct{ colour, name string }{{colourP50, "p50"}, {colourP99, "p99"}} {
		p.line(s.colour, []spot{{x, y}, {x + 28, y}})
		p.marker(s.colour, spot{x + 14, y}, s.name)
		p.add(`<text x="%.1f" y="%d">%s</text>`, x+34, y+4, s.name)
		x += 80
	}
	p.add(`<text x="%d" y="%d" text-anchor="end">%s</text>`, plotRight, y+4, escape(subtitle))
}

// axes draws the axes with their ticks, grid and units.
func (p *plot) axes() {
	for _, tick := range p.x.ticks {
		x := p.x.at(tick)
		p.add(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`, x, plotTop, x, plotBottom+5, colourGrid)
		p.add(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, x, plotBottom+20, p.x.text(tick))
	}
	for _, tick := range p.y.ticks {
		y := p.y.at(tick)
		p.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"/>`, plotLeft-5, y, plotRight, y, colourGrid)
		p.add(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft-9, y+4, p.y.text(tick))
	}
	p.add(`<path d="M%d %dV%dH%d" fill="none" stroke="%s"/>`, plotLeft, plotTop, plotBottom, plotRight, colourText)
	p.add(`<text x="%d" y="%d" text-anchor="middle">throughput, requests/s</text>`, (plotLeft+plotRight)/2, plotHeight-14)
	const middle = (plotTop + plotBottom) / 2
	p.add(`<text x="20" y="%d" text-anchor="middle" transform="rotate(-90 20 %d)">latency, ms (logarithmic)</text>`, middle, middle)
}

// spot is a place in the drawing, in pixels from its upper left corner.
type spot struct{ x, y float64 }

func (p *plot) line(colour string, spots []spot) {
	var at bytes.Buffer
	for i, s := range spots {
		if i > 0 {
			at.WriteByte(' ')
		}
		fmt.Fprintf(&at, "%.1f,%.1f", s.x, s.y)
	}
	p.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, &at, colour)
}

// marker is round for p50 and square for p99. A viewer shows about when the
// pointer rests on it.
func (p *plot) marker(colour string, s spot, about string) {
	const r = markerSize
	if colour == colourP50 {
		p.add(`<circle cx="%.1f" cy="%.1f" r="%d" fill="%s"><title>%s</title></circle>`, s.x, s.y, r, colour, escape(about))
		return
	}
	p.add(`<rect x="%.1f" y="%.1f" width="%d" height="%d" fill="%s"><title>%s</title></rect>`, s.x-r, s.y-r, 2*r, 2*r, colour, escape(about))
}

func (x *plotPoint) about(quantile string, us int64) string {
	return fmt.Sprintf("%s: %.0f requests/s, %s %s ms", grouped(x.label), x.throughput, quantile, ms(us))
}

// box is where a text or a marker covers what lies below.
type box struct{ left, top, right, bottom float64 }

func (a box) overlaps(b box) bool {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

// placeLabels gives each point's label a place beside its upper marker, above
// it if nothing is there, or below its lower marker. A place is the left end
// of the text's base line.
func placeLabels(points []plotPoint, upper, lower []spot) []spot {
	var taken []box
	for _, spots := range [][]spot{upper, lower} {
		for _, s := range spots {
			taken = append(taken, box{s.x - markerSize, s.y - markerSize, s.x + markerSize, s.y + markerSize})
		}
	}
	places := make([]spot, len(points))
	for i := range points {
		width := 0.6 * plotFont * float64(len(grouped(points[i].label))) // about
		u, l := upper[i], lower[i]
		options := []spot{
			{u.x - width/2, u.y - 8}, {u.x - width - 8, u.y + 4}, {u.x + 8, u.y + 4}, {l.x - width/2, l.y + 18},
			{u.x - width/2, u.y - 24},
		}
		for j, at := range options {
			covers := box{at.x, at.y - plotFont + 2, at.x + width, at.y + 2}
			free := covers.left > plotLeft && covers.right < plotWidth && covers.top > plotTop-10 && covers.bottom < plotBottom
			for _, b := range taken {
				free = free && !covers.overlaps(b)
			}
			if free || j == len(options)-1 { // points that are too close share a place
				places[i] = at
				taken = append(taken, covers)
				break
			}
		}
	}
	return places
}

package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// list is the value of a flag that takes one value or several with commas
// between them. The last use of the flag counts.
type list[T int | float64] struct {
	values []T
	parse  func(string) (T, error)
}

// Set reads the flag.
func (l *list[T]) Set(s string) error {
	var values []T
	for text := range strings.SplitSeq(s, ",") {
		v, err := l.parse(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		values = append(values, v)
	}
	l.values = values
	return nil
}

// String is empty if the flag was not given.
func (l *list[T]) String() string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(l.values), "[]"), " ", ",")
}

// Type is the kind of the value; the help names it in the flag's own text.
func (l *list[T]) Type() string { return "list" }

// at is the value of a point, one for all points if it is not a list.
func (l *list[T]) at(point int) (v T) {
	switch len(l.values) {
	case 0:
		return v
	case 1:
		return l.values[0]
	}
	return l.values[point]
}

// series says whether it has a value for each of several points.
func (l *list[T]) series() bool { return len(l.values) > 1 }

func parseCount(s string) (int, error) {
	v, err := strconv.ParseInt(s, 0, strconv.IntSize)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number, allowed are 1 to %d", s, maxOutstanding)
	}
	return int(v), nil
}

func parseRate(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number, allowed are 0 to %d", s, maxBenchRate)
	}
	return v, nil
}

// points are the options of every point of the series, complete and checked.
// What is no series has one.
func (o *benchOptions) points() ([]*benchOptions, error) {
	if o.outstandings.series() && o.rates.series() {
		return nil, errors.New("--outstanding and --rate are lists, allowed is one list: give the other flag one value")
	}
	var points []*benchOptions
	for i := range max(1, len(o.outstandings.values), len(o.rates.values)) {
		x := *o
		x.outstanding, x.rate = o.outstandings.at(i), o.rates.at(i)
		// Alone, 0 stands for the default.
		switch {
		case o.outstandings.series() && x.outstanding == 0:
			return nil, fmt.Errorf("--outstanding has a 0 in its list, allowed are 1 to %d", maxOutstanding)
		case o.rates.series() && x.rate == 0:
			return nil, fmt.Errorf("--rate has a 0 in its list, allowed are more than 0 to %d: measure the closed loop alone", maxBenchRate)
		}
		if err := x.complete(); err != nil {
			return nil, fmt.Errorf("%w%s", err, x.inSeries())
		}
		points = append(points, &x)
	}
	return points, o.checkFiles(len(points))
}

func (o *benchOptions) checkFiles(points int) error {
	switch {
	case o.plot == "":
		return nil
	case points < 2:
		return errors.New("--plot needs at least two points, there is one: give a list, such as --outstanding 1,10,100")
	case o.plot == "-":
		return errors.New("--plot is -, allowed is the name of a file")
	case o.plot == o.json:
		return fmt.Errorf("--plot and --json name the same file %s: give each its own", o.plot)
	}
	return nil
}

// label names a point of a series: what differs from the others.
func (o *benchOptions) label() string {
	if o.rates.series() {
		return strconv.FormatFloat(o.rate, 'f', -1, 64)
	}
	return strconv.Itoa(o.outstanding)
}

// inSeries tells which point an error is about, if there are several.
func (o *benchOptions) inSeries() string {
	switch {
	case o.rates.series():
		return ", with --rate " + o.label()
	case o.outstandings.series():
		return ", with --outstanding " + o.label()
	}
	return ""
}

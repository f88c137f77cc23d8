package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// integer is a whole number, a multiple of step.
type integer struct {
	low, high, step int64
	field           func(*Config) *int
}

func (k integer) read(c *Config, v scalar) error {
	n, err := v.decimal()
	if err != nil || n < k.low || n > k.high || n%k.step != 0 {
		return fmt.Errorf("allowed is %s", k.allowed())
	}
	*k.field(c) = int(n)
	return nil
}

func (k integer) allowed() string {
	if k.step > 1 {
		return fmt.Sprintf("a multiple of %d from %d to %d", k.step, k.low, k.high)
	}
	return fmt.Sprintf("a whole number from %d to %d", k.low, k.high)
}

func (k integer) text(c *Config) string { return strconv.Itoa(*k.field(c)) }

// size is a number of bytes, with or without a unit.
type size struct {
	low, high int64
	field     func(*Config) *int
}

var units = []struct {
	name  string
	bytes int64
}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}}

func (k size) read(c *Config, v scalar) error {
	n, err := v.bytes()
	if err != nil || n < k.low || n > min(k.high, math.MaxInt) {
		return fmt.Errorf("allowed are %s to %s, as bytes or with KiB, MiB or GiB behind a whole number",
			bytesText(k.low), bytesText(k.high))
	}
	*k.field(c) = int(n)
	return nil
}

func (k size) text(c *Config) string { return bytesText(int64(*k.field(c))) }

// bytesText is n in the largest unit that shows it exactly.
func bytesText(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// number is a floating point number.
type number struct {
	low, high float64
	field     func(*Config) *float64
}

func (k number) read(c *Config, v scalar) error {
	x, err := v.float()
	if err != nil || !(x >= k.low && x <= k.high) { // written so that NaN is refused
		return fmt.Errorf("allowed is a number from %v to %v", k.low, k.high)
	}
	*k.field(c) = x
	return nil
}

func (k number) text(c *Config) string {
	return strconv.FormatFloat(*k.field(c), 'f', -1, 64)
}

// seconds is a duration, in the file a number of seconds.
type seconds struct {
	low, high time.Duration
	field     func(*Config) *time.Duration
}

func (k seconds) read(c *Config, v scalar) error {
	x, err := v.float()
	if err != nil || !(x >= k.low.Seconds() && x <= k.high.Seconds()) {
		return fmt.Errorf("allowed are %v to %v seconds", k.low.Seconds(), k.high.Seconds())
	}
	*k.field(c) = time.Duration(math.Round(x * float64(time.Second)))
	return nil
}

func (k seconds) text(c *Config) string {
	return strconv.FormatFloat(k.field(c).Seconds(), 'f', -1, 64)
}

// choice is one of a few words.
type choice struct {
	allowed []string
	planned []string // known words that do not work yet
	field   func(*Config) *string
}

func (k choice) read(c *Config, v scalar) error {
	for _, w := range k.allowed {
		if v.isString() && v.text == w {
			*k.field(c) = w
			return nil
		}
	}
	for _, w := range k.planned {
		if v.text == w {
			return fmt.Errorf("is not implemented yet, allowed is %s", strings.Join(k.allowed, " or "))
		}
	}
	return fmt.Errorf("allowed is %s", strings.Join(k.allowed, " or "))
}

func (k choice) text(c *Config) string { return *k.field(c) }

// name is a word that the program gives a meaning.
type name struct{ field func(*Config) *string }

// maxName is the most bytes of a name.
const maxName = 64

func (k name) read(c *Config, v scalar) error {
	if !v.isString() || !isName(v.text) {
		return fmt.Errorf("allowed is a name of 1 to %d letters, digits, '_', '-' and '.', a letter first", maxName)
	}
	*k.field(c) = v.text
	return nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789_-.", r)) {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func (k name) text(c *Config) string { return *k.field(c) }

// path names a file or a directory.
type path struct{ field func(*Config) *string }

func (k path) read(c *Config, v scalar) error {
	if !v.isString() || v.text == "" || strings.ContainsRune(v.text, 0) {
		return errors.New("allowed is the path of a directory")
	}
	*k.field(c) = v.text
	return nil
}

func (k path) text(c *Config) string { return *k.field(c) }

// sizeOrAll is a number of bytes, or the word all.
type sizeOrAll struct{ size }

const allWord = "all"

func (k sizeOrAll) read(c *Config, v scalar) error {
	if v.isString() && v.text == allWord {
		*k.field(c) = All
		return nil
	}
	if err := k.size.read(c, v); err != nil {
		return fmt.Errorf("%w, or %s", err, allWord)
	}
	return nil
}

func (k sizeOrAll) text(c *Config) string {
	if *k.field(c) == All {
		return allWord
	}
	return k.size.text(c)
}
